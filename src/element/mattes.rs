//! The mattes of a frame: of the subject, and of the background that it stands before.

use crate::compose;
use crate::frame::Frame;
use crate::morphology::erode;
use crate::paint::Side;

/// One part of the frame's height is how much wider a hole is than the subject.
const CLEAR: usize = 180;

/// The mattes of a frame, tight and of its size.
#[derive(Default)]
pub struct Mattes {
    /// The matte of the subject; and the same with the alpha that the frame had before multiplied in.
    subject: [Vec<u8>; 2],
    /// The matte of the background, in the same two forms.
    background: [Vec<u8>; 2],
    /// The background's matte, eroded around the subject, for compositing over the plate.
    clear: [Vec<u8>; 2],
    scratch: Vec<u8>,
    /// What takes no part in a blurred background.
    cover: Vec<u8>,
    /// Whether the frame had alpha before.
    had_alpha: bool,
}

impl Mattes {
    /// Of frames of this size; `had_alpha`: they come with alpha.
    pub fn new(width: usize, height: usize, had_alpha: bool) -> Self {
        Self { subject: [vec![0; width * height], Vec::new()], had_alpha, ..Self::default() }
    }

    /// What is the subject, as it is being made.
    pub fn matte(&self) -> &[u8] {
        &self.subject[0]
    }

    /// The same, to be written.
    pub fn matte_mut(&mut self) -> &mut [u8] {
        &mut self.subject[0]
    }

    /// The matte is made: the alpha that the frame had before goes in.
    pub fn finish(&mut self, frame: &Frame<'_>) {
        if self.had_alpha {
            let [matte, alpha] = &mut self.subject;
            alpha.clone_from(matte);
            compose::multiply_alpha(frame, alpha);
        }
    }

    fn side<'a>(&'a self, of: &'a [Vec<u8>; 2]) -> Side<'a> {
        let alpha = if self.had_alpha { &of[1] } else { &of[0] };
        Side { matte: &of[0], alpha, had_alpha: self.had_alpha }
    }

    pub fn subject(&self) -> Side<'_> {
        self.side(&self.subject)
    }

    /// Only where [`Mattes::find_background`] has found it.
    pub fn background(&self) -> Side<'_> {
        self.side(&self.background)
    }

    /// Only where [`Mattes::find_clear`] has found it.
    pub fn clear(&self) -> Side<'_> {
        self.side(&self.clear)
    }

    /// What takes no part in a blur, be it the subject's or was it hidden before: as found by whoever was asked for it.
    pub fn cover(&self) -> &[u8] {
        &self.cover
    }

    /// What is not the subject is the background. Of a frame of which nothing of either is known the same (`uniform`) is shown.
    pub fn find_background(&mut self, frame: &Frame<'_>, uniform: Option<u8>) {
        let [matte, alpha] = &mut self.background;
        matte.clear();
        match uniform {
            None => matte.extend(self.subject[0].iter().map(|a| 255 - a)),
            Some(a) => matte.resize(self.subject[0].len(), a),
        }
        if self.had_alpha {
            alpha.clone_from(matte);
            compose::multiply_alpha(frame, alpha);
        }
    }

    /// The subject's hole, some pixels wider, so that its outline is not left around it; and what takes no part in a blur.
    pub fn find_clear(&mut self, frame: &Frame<'_>) {
        let radius = (frame.height / CLEAR).max(1);
        let [matte, alpha] = &mut self.clear;
        for buffer in [&mut *matte, &mut self.scratch] {
            buffer.resize(self.background[0].len(), 0);
        }
        erode(&self.background[0], frame.width, radius, matte, &mut self.scratch);
        if self.had_alpha {
            alpha.clone_from(matte);
            compose::multiply_alpha(frame, alpha);
        }
        self.cover.clear();
        let seen = if self.had_alpha { &self.clear[1] } else { &self.clear[0] };
        self.cover.extend(seen.iter().map(|a| 255 - a));
    }

    /// What takes no part in a blur where there is no hole.
    pub fn find_cover(&mut self, frame: &Frame<'_>) {
        if self.had_alpha {
            compose::cover(frame, &self.subject[0], &mut self.cover);
        } else {
            self.cover.clone_from(&self.subject[0]);
        }
    }
}
