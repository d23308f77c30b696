//! A kind of input, as a row of a table: how it is made, and what is to come of it.

/// How a file says that its picture is to be turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    None,
    /// A quarter clockwise, and so on.
    Right,
    Half,
    Left,
    /// Left and right, up and down change places.
    Mirror,
    Flip,
}

impl Turn {
    pub fn is_quarter(self) -> bool {
        matches!(self, Turn::Right | Turn::Left)
    }
}

/// Sound that begins at a time and is so long, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Sound {
    pub from: f64,
    pub length: f64,
}

/// Outputs in which a deviation is allowed, since the tool says these words of it.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Names with spaces between, or `all`.
    pub formats: &'static str,
    pub words: &'static str,
}

impl Told {
    pub fn is_of(&self, format: &str) -> bool {
        self.formats == "all" || self.formats.split(' ').any(|f| f == format)
    }
}

#[derive(Clone)]
pub struct Kind {
    /// The file's name, whose extension names the container.
    pub name: &'static str,
    /// ffmpeg's options between the numbered frames with the beeps, and the name.
    pub make: &'static str,
    /// The name of what that makes, and what makes the file of it: ffmpeg's options, or a program with its options. `IN` is
    /// that name.
    pub then: Option<(&'static str, &'static str)>,
    /// What is changed of its bytes at last.
    pub patch: Option<fn(Vec<u8>) -> Vec<u8>>,
    /// Width and height of what is to be seen, pixel for pixel; and of a pixel, width over height.
    pub size: (usize, usize),
    pub aspect: f64,
    pub turn: Turn,
    pub hole: bool,
    pub frames: usize,
    /// Frames a second as they are made.
    pub rate: (u32, u32),
    pub sound: Option<Sound>,
    /// Further options of `convert`.
    pub with: &'static str,
    /// Which frames are to come, and when each is seen, in seconds.
    pub keep: fn(usize) -> bool,
    pub at: Option<fn(usize) -> f64>,
    /// Seconds of what is made that are to come, for parts.
    pub part: (f64, f64),
    /// When all of it ends, where that is not the end of its frames and its sound.
    pub lasts: Option<f64>,
    /// The colour, where ffmpeg cannot read the file and so cannot say what is left of it.
    pub color: Option<[u8; 3]>,
    /// The container or the encoder moves times by what stands in no row (what encoders of sound put before it, frames that
    /// a cut left out): frames, times and beeps are to be as ffmpeg sees them.
    pub moved: bool,
    /// What a second file is made with, whose bytes come after those of the first.
    pub and: Option<&'static str>,
    pub told: Vec<Told>,
}

/// Two seconds of 25 frames each, with sound.
pub fn kind(name: &'static str, make: &'static str) -> Kind {
    Kind {
        name,
        make,
        then: None,
        patch: None,
        size: (160, 120),
        aspect: 1.0,
        turn: Turn::None,
        hole: false,
        frames: 50,
        rate: (25, 1),
        sound: Some(Sound { from: 0.0, length: 2.0 }),
        with: "",
        keep: |_| true,
        at: None,
        part: (0.0, f64::INFINITY),
        lasts: None,
        color: None,
        moved: false,
        and: None,
        told: Vec::new(),
    }
}

impl Kind {
    pub fn then(mut self, name: &'static str, line: &'static str) -> Self {
        self.then = Some((name, line));
        self
    }

    pub fn patch(mut self, patch: fn(Vec<u8>) -> Vec<u8>) -> Self {
        self.patch = Some(patch);
        self
    }

    pub fn size(mut self, w: usize, h: usize) -> Self {
        self.size = (w, h);
        self
    }

    pub fn aspect(mut self, aspect: f64) -> Self {
        self.aspect = aspect;
        self
    }

    pub fn turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    pub fn hole(mut self) -> Self {
        self.hole = true;
        self
    }

    pub fn frames(mut self, frames: usize, rate: (u32, u32)) -> Self {
        (self.frames, self.rate) = (frames, rate);
        let length = frames as f64 * f64::from(rate.1) / f64::from(rate.0);
        self.sound = self.sound.map(|s| Sound { length, ..s });
        self
    }

    pub fn silent(mut self) -> Self {
        self.sound = None;
        self
    }

    pub fn sound(mut self, from: f64, length: f64) -> Self {
        self.sound = Some(Sound { from, length });
        self
    }

    pub fn with(mut self, options: &'static str) -> Self {
        self.with = options;
        self
    }

    pub fn keep(mut self, keep: fn(usize) -> bool) -> Self {
        self.keep = keep;
        self
    }

    pub fn at(mut self, at: fn(usize) -> f64) -> Self {
        self.at = Some(at);
        self
    }

    pub fn part(mut self, from: f64, to: f64) -> Self {
        self.part = (from, to);
        self
    }

    pub fn lasts(mut self, seconds: f64) -> Self {
        self.lasts = Some(seconds);
        self
    }

    pub fn color(mut self, color: [u8; 3]) -> Self {
        self.color = Some(color);
        self
    }

    pub fn moved(mut self) -> Self {
        self.moved = true;
        self
    }

    pub fn and(mut self, make: &'static str) -> Self {
        self.and = Some(make);
        self
    }

    pub fn told(mut self, formats: &'static str, words: &'static str) -> Self {
        self.told.push(Told { formats, words });
        self
    }

    /// When a frame is seen in what is made.
    pub fn time(&self, n: usize) -> f64 {
        let even = n as f64 * f64::from(self.rate.1) / f64::from(self.rate.0);
        self.at.map_or(even, |at| at(n))
    }

    fn is_in(&self, time: f64) -> bool {
        time > self.part.0 - 0.0005 && time < self.part.1 - 0.0005
    }

    /// The frames that are to come, with their times after the first.
    pub fn shown(&self) -> Vec<(usize, f64)> {
        let shown: Vec<_> =
            (0..self.frames).filter(|n| (self.keep)(*n) && self.is_in(self.time(*n))).collect();
        shown.iter().map(|n| (*n, self.time(*n) - self.time(shown[0]))).collect()
    }

    /// The beeps that are to come, with their times after the first frame; none without sound.
    pub fn beeps(&self) -> Option<Vec<f64>> {
        let sound = self.sound?;
        let first = (0..self.frames).find(|n| (self.keep)(*n) && self.is_in(self.time(*n))).unwrap_or(0);
        let all = (0..).map(|n| f64::from(n) + 0.5).take_while(|t| *t < sound.length).map(|t| t + sound.from);
        Some(all.filter(|t| self.is_in(*t)).map(|t| t - self.time(first)).collect())
    }

    /// How long what comes is, with its sound and without.
    pub fn length(&self, with_sound: bool) -> f64 {
        let frame = f64::from(self.rate.1) / f64::from(self.rate.0);
        let shown = self.shown();
        let first =
            (0..self.frames).find(|n| shown.first().is_some_and(|s| s.0 == *n)).map_or(0.0, |n| self.time(n));
        let video = shown.last().map_or(0.0, |s| s.1) + frame;
        if let (false, None) = (with_sound, self.lasts) {
            return video;
        }
        let sound = self.sound.filter(|_| with_sound).map_or(0.0, |s| s.from + s.length);
        let end = self.lasts.unwrap_or(sound.max(first + video));
        end.min(self.part.1) - self.part.0
    }
}
