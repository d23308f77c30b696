//! Tags: what upstream says of the stream, and who made what goes downstream (`write-tags`).

use super::imp::BgRemove;
use crate::sync::lock;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

impl BgRemove {
    /// Keeps upstream's tags, and adds our own to a tag event if `write-tags` is set.
    pub(super) fn tag(&self, event: gst::Event) -> gst::Event {
        let gst::EventView::Tag(tag) = event.view() else { return event };
        let mut journal = lock(&self.journal);
        journal.tagged |= tag.tag().scope() == gst::TagScope::Stream;
        let known = journal.tags.get_or_insert_with(gst::TagList::new);
        known.make_mut().insert(tag.tag(), gst::TagMergeMode::Replace);
        drop(journal);
        if !self.settings().write_tags || tag.tag().scope() != gst::TagScope::Stream {
            return event;
        }
        let mut tags = tag.tag_owned();
        tags.make_mut().insert(&self.own_tags(), gst::TagMergeMode::Append);
        gst::event::Tag::builder(tags).seqnum(event.seqnum()).build()
    }

    /// Before the first frame: pushes our own tags, unless a tag event has carried them.
    pub(super) fn tag_at_start(&self) {
        let told = std::mem::replace(&mut lock(&self.journal).tagged, true);
        if !told && self.settings().write_tags {
            let src = self.obj().src_pad().clone();
            // The tags get the sequence number of the stream that has begun.
            let start = src.sticky_event::<gst::event::StreamStart>(0);
            let tags = gst::event::Tag::builder(self.own_tags());
            src.push_event(tags.seqnum_if_some(start.map(|s| s.seqnum())).build());
        }
    }

    pub(super) fn own_tags(&self) -> gst::TagList {
        let name = concat!("bgremove ", env!("CARGO_PKG_VERSION"));
        let model = format!("bgremove-model={}", base_name(&self.active_model()));
        let mut tags = gst::TagList::new();
        let list = tags.make_mut();
        list.set_scope(gst::TagScope::Stream);
        list.add::<gst::tags::ApplicationName>(&name, gst::TagMergeMode::Append);
        list.add::<gst::tags::ExtendedComment>(&&*model, gst::TagMergeMode::Append);
        tags
    }
}

/// The name of a model without its folders, which may name the user.
fn base_name(model: &str) -> &str {
    // Names may come from Windows.
    model.rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_a_model_without_its_folders() {
        for (model, name) in [
            ("light", "light"),
            ("/home/jane/nets/my.onnx", "my.onnx"),
            ("nets/my.onnx", "my.onnx"),
            ("file:///home/jane/my.onnx", "my.onnx"),
            (r"C:\Users\jane\my.onnx", "my.onnx"),
        ] {
            assert_eq!(base_name(model), name);
        }
    }
}
