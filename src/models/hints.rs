//! What can be said of a network beside what its file says of itself.

use std::path::PathBuf;

/// How the frame meets a fixed input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFit {
    /// The whole frame on the whole input, each axis with its own scale.
    Stretch,
    /// One scale, the rest filled.
    Letterbox,
}

/// What still has to be applied to the network's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Not known: taken for logits as soon as a value lies outside 0..1 by more than rounding.
    Auto,
    /// Nothing: it is a matte in 0..1.
    None,
    /// 1 ∕ (1 + e^−x).
    Sigmoid,
    /// Softmax over the classes.
    Softmax,
}

/// What an ONNX file cannot say of itself. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    pub divide_by_max: Option<bool>,
    pub bgr: Option<bool>,
    pub input: Option<String>,
    pub fit: Option<InputFit>,
    pub short_side: Option<usize>,
    pub multiple: Option<usize>,
    pub output: Option<String>,
    pub class: Option<usize>,
    pub activation: Option<Activation>,
    pub min_max: Option<bool>,
    /// Recurrent pairs: input, output.
    pub recurrent: Option<Vec<(String, String)>>,
    /// The file's second part, which goes from what this one gives to the mask; beside this one, if the path is relative.
    pub decoder: Option<PathBuf>,
    /// What goes from the first part to the second under two names: output, input.
    pub link: Option<Vec<(String, String)>>,
    /// The output that says how good each of several masks is; the best is taken.
    pub scores: Option<String>,
    /// An input for places, and one for what they are.
    pub prompt_points: Option<(String, Option<String>)>,
    pub prompt_box: Option<String>,
    /// An input for the mask before, and one for whether there is one.
    pub prompt_mask: Option<(String, Option<String>)>,
    pub prompt_size: Option<String>,
    /// An input, and the file of what it is always filled with; beside the network, if the path is relative.
    pub prompt_embedding: Option<(String, PathBuf)>,
    /// Places that it is always told of: x and y in parts of the frame, and 1 for the subject or 0 for the background.
    pub points: Option<Vec<[f32; 3]>>,
}

impl Hints {
    /// What `self` says, and what `others` says where `self` is silent.
    pub fn or(self, others: Hints) -> Hints {
        Hints {
            mean: self.mean.or(others.mean),
            std: self.std.or(others.std),
            divide_by_max: self.divide_by_max.or(others.divide_by_max),
            bgr: self.bgr.or(others.bgr),
            input: self.input.or(others.input),
            fit: self.fit.or(others.fit),
            short_side: self.short_side.or(others.short_side),
            multiple: self.multiple.or(others.multiple),
            output: self.output.or(others.output),
            class: self.class.or(others.class),
            activation: self.activation.or(others.activation),
            min_max: self.min_max.or(others.min_max),
            recurrent: self.recurrent.or(others.recurrent),
            decoder: self.decoder.or(others.decoder),
            link: self.link.or(others.link),
            scores: self.scores.or(others.scores),
            prompt_points: self.prompt_points.or(others.prompt_points),
            prompt_box: self.prompt_box.or(others.prompt_box),
            prompt_mask: self.prompt_mask.or(others.prompt_mask),
            prompt_size: self.prompt_size.or(others.prompt_size),
            prompt_embedding: self.prompt_embedding.or(others.prompt_embedding),
            points: self.points.or(others.points),
        }
    }
}
