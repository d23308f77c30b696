//! A frame whose matte is its screen's (`model=key`).

use super::{MatteSource, StreamState};
use crate::compose;
use crate::element::convert::no_memory;
use crate::element::engine::MatteEngine;
use crate::element::settings::{OutputKind, Settings};
use crate::error::Error;
use crate::frame::{Frame, FrameMut};
use crate::video;
use gst_video::VideoFrameRef;

impl StreamState {
    /// Whether the frame's colours are worked on in memory of our own first ([`StreamState::convert`]).
    pub fn needs_copy(&self, settings: &Settings) -> bool {
        self.cleans(settings) || !(self.lies_as_it_goes_out() || self.paints_in_rgb(settings))
    }

    /// Whether the screen's light is taken out of the frame's colours.
    pub(super) fn cleans(&self, settings: &Settings) -> bool {
        self.engine.is_key()
            && settings.decontaminate
            && self.in_force.kind != OutputKind::Matte
            && !self.in_force.inverse
    }

    /// Makes the matte of a frame that is keyed, and its colours in memory of our own, without the screen's light. Does nothing for
    /// another source.
    pub(super) fn key(
        &mut self,
        settings: &Settings,
        source: &mut MatteSource,
        input: &gst::BufferRef,
    ) -> Result<(), Error> {
        let MatteSource::Key { missing, found, holds, cancel, failure } = source else { return Ok(()) };
        let (copies, cleans) = (self.needs_copy(settings), self.cleans(settings));
        let (lies, paints) = (self.lies_as_it_goes_out(), self.paints_in_rgb(settings));
        let in_frame = VideoFrameRef::from_buffer_ref_readable(input, &self.input)
            .map_err(|_| Error::unreadable("the incoming buffer"))?;
        let frame =
            video::read(&in_frame, &self.input).ok_or_else(|| Error::unreadable("the incoming buffer"))?;
        let MatteEngine::Key(keying) = &mut self.engine else { return Err(no_memory()) };
        *found = keying.keyer.key(&self.siting.centred(&frame), self.mattes.matte_mut());
        if !*found {
            self.mattes.matte_mut().fill(*missing);
        }
        if *found && cleans && lies {
            self.convert(input)?;
            let buffer = self.converter.converted_mut().ok_or_else(no_memory)?;
            let MatteEngine::Key(keying) = &self.engine else { return Err(no_memory()) };
            let clean = |colors: &mut FrameMut<'_>| keying.keyer.clean(colors, self.mattes.matte());
            video::fill(buffer, &self.output, clean).ok_or_else(no_memory)?;
        } else if cleans && (*found || paints) {
            // In the numbers that came in: once chroma is spread over pixels, it is no mix of each any more.
            self.copy_colors(&frame, *found)?;
            if !paints {
                let copy = self.copy.take().ok_or_else(no_memory)?;
                let converted = self.convert(&copy);
                self.copy = Some(copy);
                converted?;
            }
        } else if copies {
            self.convert(input)?;
        }
        // After the colours: what is cut off there is no mix with the screen.
        if *found
            && let MatteEngine::Key(keying) = &mut self.engine
            && let Err(e) = keying.apply_garbage_matte(&frame, self.mattes.matte_mut(), cancel)
        {
            *failure = Some(e);
            if !*holds {
                *found = false;
                self.mattes.matte_mut().fill(*missing);
                // It goes out untouched, if it does.
                if cleans && paints {
                    self.copy_colors(&frame, false)?;
                } else if copies {
                    self.convert(input)?;
                }
            }
        }
        if *found {
            self.adjuster.apply(self.mattes.matte_mut(), frame.width, frame.height, &settings.controls);
        }
        Ok(())
    }

    /// Puts a frame's colours into `copy`, without the screen's light if they are to be `clean`.
    fn copy_colors(&mut self, frame: &Frame<'_>, clean: bool) -> Result<(), Error> {
        let size = self.input.size();
        let copy = self.copy.get_or_insert_with(|| gst::Buffer::from_mut_slice(vec![0u8; size]));
        let buffer = copy.get_mut().ok_or_else(no_memory)?;
        let done = video::fill(buffer, &self.input, |colors| {
            compose::copy_colors(frame, colors);
            if let MatteEngine::Key(keying) = &self.engine
                && clean
            {
                keying.keyer.clean(colors, self.mattes.matte());
            }
        });
        done.ok_or_else(no_memory)
    }

    /// The part of the frame that its subject takes, 0..1, about: of some rows.
    pub fn coverage(&self) -> f32 {
        let width = self.input.width() as usize;
        let rows = self.mattes.matte().chunks_exact(width).step_by(8);
        let (mut sum, mut n) = (0u64, 0u64);
        for row in rows {
            sum += row.iter().map(|a| u64::from(*a)).sum::<u64>();
            n += width as u64;
        }
        sum as f32 / (255 * n.max(1)) as f32
    }
}
