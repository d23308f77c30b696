//! What a network wants and gives, from its signature and what is known besides.

use crate::error::{Error, Kind, Result};
use crate::runtime::{Element, Port};

/// Order of the dimensions of an image tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// How the frame meets a fixed input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
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

/// The size of the network's input, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Fixed {
        width: usize,
        height: usize,
    },
    /// The frame's shape with this short side, both sides multiples of `multiple`.
    Free {
        short_side: usize,
        multiple: usize,
    },
}

/// What an ONNX file cannot say of itself. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    pub divide_by_max: Option<bool>,
    pub bgr: Option<bool>,
    pub input: Option<String>,
    pub fit: Option<Fit>,
    pub short_side: Option<usize>,
    pub multiple: Option<usize>,
    pub output: Option<String>,
    pub class: Option<usize>,
    pub activation: Option<Activation>,
    pub min_max: Option<bool>,
    /// Recurrent pairs: input, output.
    pub recurrent: Option<Vec<(String, String)>>,
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
        }
    }
}

/// Everything that is needed to feed a network and to read its matte.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The image input.
    pub input: String,
    pub element: Element,
    pub order: Order,
    pub size: Size,
    pub fit: Fit,
    /// Of R, G, B in 0..1: the network gets `(rgb − mean) ∕ std`.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// Divide by the picture's largest value instead of by 255.
    pub divide_by_max: bool,
    /// The channels come in the order B, G, R.
    pub bgr: bool,
    /// An input of one number that is always 1 here: RVM's `downsample_ratio`. The frame is brought to
    /// network size before, so the network has nothing left to reduce.
    pub ratio: Option<(String, Vec<i64>)>,
    /// The output that holds the matte.
    pub output: String,
    /// Which class is the foreground, where there are several.
    pub class: Option<usize>,
    pub activation: Activation,
    /// Stretch the matte so that it spans 0..1.
    pub min_max: bool,
    /// Recurrent state: input, its element type and shape, and the output that replaces it.
    pub states: Vec<(Port, String)>,
}

/// Of a network's input, where the file leaves its size open.
const MOST_PIXELS: usize = 4096 * 4096;
/// Of a network's input, in pixels.
const LARGEST_SIDE: usize = 8192;

impl Spec {
    /// Reads a network's signature.
    ///
    /// # Errors
    /// [`Kind::ModelInvalid`], with the file's inputs and outputs, when it is no image network.
    pub fn new(inputs: &[Port], outputs: &[Port], hints: &Hints) -> Result<Self> {
        let list = |ports: &[Port]| ports.iter().map(|p| p.to_string()).collect::<Vec<_>>().join(", ");
        let refuse = |why: &str| {
            Error::new(
                Kind::ModelInvalid,
                format!("it {why}. Inputs: {}. Outputs: {}.", list(inputs), list(outputs)),
            )
        };
        let port = |ports: &'_ [Port], name: &str| ports.iter().find(|p| p.name == name).cloned();
        let states: Vec<(Port, String)> = match &hints.recurrent {
            Some(pairs) => pairs
                .iter()
                .map(|(i, o)| {
                    let input = port(inputs, i).ok_or_else(|| refuse(&format!("has no input '{i}'")))?;
                    port(outputs, o).ok_or_else(|| refuse(&format!("has no output '{o}'")))?;
                    Ok((input, o.clone()))
                })
                .collect::<Result<_>>()?,
            // RVM's names: r1i … r4i go in, r1o … r4o come out.
            None => inputs
                .iter()
                .filter_map(|i| {
                    let stem = i.name.strip_suffix('i')?;
                    let out = outputs.iter().find(|o| o.name.strip_suffix('o') == Some(stem))?;
                    Some((i.clone(), out.name.clone()))
                })
                .collect(),
        };
        let free = || inputs.iter().filter(|i| !states.iter().any(|(s, _)| s.name == i.name));
        let (input, order) = match &hints.input {
            Some(name) => free()
                .find(|i| i.name == *name)
                .and_then(|i| Some((i, image_order(i)?)))
                .ok_or_else(|| refuse(&format!("has no image input '{name}'"))),
            None => free()
                .find_map(|i| Some((i, image_order(i)?)))
                .ok_or_else(|| refuse("has no input for an RGB image (four dimensions, three channels)")),
        }?;
        let ratio = free()
            .find(|i| i.name == "downsample_ratio" && i.element == Element::F32 && i.shape.len() <= 1)
            .map(|i| (i.name.clone(), i.shape.iter().map(|d| (*d).max(1)).collect::<Vec<i64>>()));
        if let Some(other) =
            free().find(|i| i.name != input.name && ratio.as_ref().is_none_or(|(name, _)| i.name != *name))
        {
            return Err(refuse(&format!(
                "wants an input '{0}' that bgremove cannot fill (for a recurrent state, say which output \
                 becomes it, in a sidecar or model-options: recurrent={0}:OUTPUT)",
                other.name
            )));
        }
        if input.element == Element::Other {
            return Err(refuse("takes images of a type that is not float32, float16 or uint8"));
        }
        let output = match &hints.output {
            Some(name) => outputs
                .iter()
                .find(|o| o.name == *name)
                .ok_or_else(|| refuse(&format!("has no output '{name}'")))?,
            None => outputs.iter().find(|o| no_matte(o, order).is_none()).ok_or_else(|| {
                refuse("has no output that could be a matte (one or two channels of an image)")
            })?,
        };
        let (h, w) = match order {
            Order::Nchw => (input.shape[2], input.shape[3]),
            Order::Nhwc => (input.shape[1], input.shape[2]),
        };
        if let Some(n) = [hints.short_side, hints.multiple].into_iter().flatten().find(|n| *n > LARGEST_SIDE)
        {
            return Err(refuse(&format!(
                "is to take images in steps or with a short side of {n} pixels, and at most {LARGEST_SIDE} are possible"
            )));
        }
        // The official export says of itself what it is by its inputs; it wants to be fed as `human` is.
        let is_rvm = ratio.is_some() && states.len() == 4;
        let size = match (usize::try_from(w), usize::try_from(h)) {
            (Ok(width), Ok(height)) if width > 0 && height > 0 => {
                if width.max(height) > LARGEST_SIDE {
                    return Err(refuse("takes images larger than 8192 pixels"));
                }
                Size::Fixed { width, height }
            }
            _ => Size::Free {
                short_side: hints.short_side.unwrap_or(if is_rvm { 288 } else { 512 }),
                multiple: hints.multiple.unwrap_or(if is_rvm { 16 } else { 32 }),
            },
        };
        Ok(Spec {
            input: input.name.clone(),
            element: input.element,
            order,
            size,
            fit: hints.fit.unwrap_or(Fit::Letterbox),
            mean: hints.mean.unwrap_or([0.0; 3]),
            std: hints.std.unwrap_or([1.0; 3]),
            divide_by_max: hints.divide_by_max.unwrap_or(false),
            bgr: hints.bgr.unwrap_or(false),
            ratio,
            output: output.name.clone(),
            class: hints.class,
            activation: hints.activation.unwrap_or(Activation::Auto),
            min_max: hints.min_max.unwrap_or(false),
            states,
        })
    }

    /// What each input and each output is to bgremove, and why, in their order.
    pub fn explain(&self, inputs: &[Port], outputs: &[Port], hints: &Hints) -> (Vec<String>, Vec<String>) {
        let input = |port: &Port| {
            if port.name == self.input {
                let how =
                    if hints.input.is_some() { "named by `input`" } else { "the first that can be one" };
                return format!("the picture ({how})");
            }
            match self.states.iter().find(|(s, _)| s.name == port.name) {
                Some((_, out)) => format!("what is remembered of the frame before: '{out}' of its run"),
                None => "always 1".to_string(),
            }
        };
        let output = |port: &Port| {
            if port.name == self.output {
                let how = match hints.output {
                    Some(_) => "named by `output`",
                    None => "the first output that can be one",
                };
                return format!("taken as the mask ({how})");
            }
            if let Some((state, _)) = self.states.iter().find(|(_, out)| *out == port.name) {
                return format!("remembered for the next frame, as '{}'", state.name);
            }
            match no_matte(port, self.order) {
                Some(why) => format!("not read ({why})"),
                None => format!("not read (could be a mask, too: output={} takes it)", port.name),
            }
        };
        (inputs.iter().map(input).collect(), outputs.iter().map(output).collect())
    }

    /// The network's input size for a frame, width and height in pixels. `short_side` overrides the
    /// model's own choice where the file leaves the size open; 0 leaves it.
    pub fn input_size(&self, frame_width: usize, frame_height: usize, wanted: usize) -> (usize, usize) {
        match self.size {
            Size::Fixed { width, height } => (width, height),
            Size::Free { short_side, multiple } => {
                let short_side = if wanted > 0 { wanted } else { short_side };
                // A frame that is very long would ask for an input of gigabytes.
                let most = (MOST_PIXELS as f64 / (frame_width * frame_height) as f64).sqrt();
                let mut scale = (short_side as f64 / frame_width.min(frame_height) as f64).min(most);
                loop {
                    let side = |n: usize| {
                        let m = multiple as f64;
                        ((n as f64 * scale / m).round().max(1.0) * m) as usize
                    };
                    let size = (side(frame_width), side(frame_height));
                    // Large steps may have rounded a side up far; two of the largest steps are allowed.
                    if size.0 * size.1 <= 2 * MOST_PIXELS || size == (multiple, multiple) {
                        return size;
                    }
                    scale *= 0.9;
                }
            }
        }
    }

    /// The shape of the image tensor for an input size.
    pub fn input_shape(&self, width: usize, height: usize) -> [i64; 4] {
        match self.order {
            Order::Nchw => [1, 3, height as i64, width as i64],
            Order::Nhwc => [1, height as i64, width as i64, 3],
        }
    }
}

fn image_order(port: &Port) -> Option<Order> {
    let batch = *port.shape.first()?;
    match (batch, &port.shape[1..]) {
        (-1 | 1, [3, _, _]) => Some(Order::Nchw),
        (-1 | 1, [_, _, 3]) => Some(Order::Nhwc),
        _ => None,
    }
}

/// Why an output cannot be a matte, if so.
fn no_matte(port: &Port, order: Order) -> Option<&'static str> {
    if port.element == Element::Other {
        return Some("no float32, float16 or uint8");
    }
    if !(2..=4).contains(&port.shape.len()) {
        return Some("no image: two to four dimensions");
    }
    match (&port.shape[..], order) {
        // Two dimensions are a batch of class scores as often as a picture.
        ([h, w], _) if *h <= 1 || *w <= 1 => Some("no image: a size is open, or 1"),
        ([_, c, _, _], Order::Nchw) | ([_, _, _, c], Order::Nhwc) if !matches!(c, -1 | 1 | 2) => {
            Some("a matte has one or two channels")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, shape: &[i64]) -> Port {
        Port {
            name: name.into(),
            element: Element::F32,
            shape: shape.into(),
            described: format!("f32{shape:?}"),
        }
    }

    #[test]
    fn reads_both_orders() {
        let out = [port("y", &[1, 1, 8, 8])];
        let nchw = Spec::new(&[port("x", &[1, 3, 8, 16])], &out, &Hints::default()).unwrap();
        assert_eq!((nchw.order, nchw.size), (Order::Nchw, Size::Fixed { width: 16, height: 8 }));
        let out = [port("y", &[1, 8, 16, 1])];
        let nhwc = Spec::new(&[port("x", &[1, 8, 16, 3])], &out, &Hints::default()).unwrap();
        assert_eq!((nhwc.order, nhwc.size), (Order::Nhwc, Size::Fixed { width: 16, height: 8 }));
    }

    #[test]
    fn pairs_recurrent_states() {
        let inputs = [port("src", &[-1, 3, -1, -1]), port("r1i", &[-1; 4]), port("r2i", &[-1; 4])];
        let outputs = [
            port("fgr", &[-1, 3, -1, -1]),
            port("pha", &[-1, 1, -1, -1]),
            port("r1o", &[-1; 4]),
            port("r2o", &[-1; 4]),
        ];
        let spec = Spec::new(&inputs, &outputs, &Hints::default()).unwrap();
        assert_eq!(spec.output, "pha");
        let pairs: Vec<_> = spec.states.iter().map(|(i, o)| (i.name.as_str(), o.as_str())).collect();
        assert_eq!(pairs, [("r1i", "r1o"), ("r2i", "r2o")]);
    }

    #[test]
    fn what_is_no_image_network_is_described() {
        let e = Spec::new(&[port("tokens", &[1, 77])], &[port("logits", &[1, 77, 1000])], &Hints::default())
            .unwrap_err();
        assert!(e.text.contains("tokens") && e.text.contains("logits"), "{e}");
    }

    #[test]
    fn free_sizes_keep_the_shape() {
        let hints = Hints { short_side: Some(288), multiple: Some(16), ..Hints::default() };
        let spec = Spec::new(&[port("x", &[1, 3, -1, -1])], &[port("y", &[1, 1, -1, -1])], &hints).unwrap();
        assert_eq!(spec.input_size(1920, 1080, 0), (512, 288));
        assert_eq!(spec.input_size(1080, 1920, 0), (288, 512));
        assert_eq!(spec.input_size(17, 16, 0), (304, 288));
        assert_eq!(spec.input_size(1920, 1080, 144), (256, 144));
    }
}
