//! How many frames before a part are inferred and not written, where nobody says it.

use crate::convert::Settings;
use crate::models;

/// As long as steadying holds on to what was before: after 30 a sixtieth of the frame was seen to differ with `light`,
/// after 60 nothing.
const STEADYING: u64 = 60;
/// For a network that remembers. It holds for a whole scene what it took an unsure object for at the scene's beginning,
/// so that it has to see the cut before: docs/scale.md has the seam that 119 frames do not hide and 125 do.
const MEMORY: u64 = 150;

/// What the network needs that is asked for. One that cannot be read fails where it is run.
pub fn usual(settings: &Settings) -> u64 {
    if remembers(settings).unwrap_or(false) { MEMORY } else { STEADYING }
}

fn remembers(settings: &Settings) -> Option<bool> {
    let choice = settings.network(None).ok()?;
    let spec = models::open(&choice).ok()?.spec().ok()?;
    // Who is told whom to keep is told so by the mask before.
    Some(!spec.states.is_empty() || spec.prompt.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::format::Format;

    #[test]
    fn of_a_network_without_a_memory() {
        gst::init().unwrap();
        let mut settings = Settings::new(Format::Webm);
        for model in ["light", "key", "no-such-model"] {
            settings.model = model.into();
            assert_eq!(usual(&settings), STEADYING, "{model}");
        }
    }
}
