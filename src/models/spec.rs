//! What a network wants and gives, from its signature and what is known besides.

use super::{Activation, Hints, InputFit, Prompt};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{Element, Port, Session};

/// Order of the dimensions of an image tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
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

/// What goes into a network's file and what comes out of it.
#[derive(Clone, Copy, Debug)]
pub struct Signature<'a> {
    pub inputs: &'a [Port],
    pub outputs: &'a [Port],
}

impl<'a> From<&'a Session> for Signature<'a> {
    fn from(session: &'a Session) -> Self {
        Self { inputs: &session.inputs, outputs: &session.outputs }
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
    pub fit: InputFit,
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
    /// How it is told whom to keep, if it wants to be.
    pub prompt: Option<Prompt>,
    /// Of a network in two parts: outputs of the first, and the inputs of the second that they become.
    pub links: Vec<(String, String)>,
    /// The output that says how good each of several masks is, of which the best is taken.
    pub scores: Option<String>,
    /// The output's channels are masks, each by itself, and no classes of which a pixel has one.
    pub separate: bool,
}

/// Of a network's input, where the file leaves its size open.
const MOST_PIXELS: usize = 4096 * 4096;
/// Of a network's input, in pixels.
const LARGEST_SIDE: usize = 8192;

impl Spec {
    /// Reads the signature of a network in one file.
    ///
    /// # Errors
    /// As for [`Spec::of`].
    pub fn new(inputs: &[Port], outputs: &[Port], hints: &Hints) -> Result<Self> {
        Self::of(Signature { inputs, outputs }, None, hints)
    }

    /// Reads a network's signature. `decoder`: of its second part, which takes what the first gives.
    ///
    /// # Errors
    /// [`ErrorKind::ModelInvalid`], with the inputs and outputs, when it is no image network.
    pub fn of(network: Signature<'_>, decoder: Option<Signature<'_>>, hints: &Hints) -> Result<Self> {
        let list = |ports: &[Port]| ports.iter().map(|p| p.to_string()).collect::<Vec<_>>().join(", ");
        let refuse = |why: &str| {
            let mut text =
                format!("it {why}. Inputs: {}. Outputs: {}.", list(network.inputs), list(network.outputs));
            if let Some(decoder) = decoder {
                text += &format!(
                    " The decoder's inputs: {}. Its outputs: {}.",
                    list(decoder.inputs),
                    list(decoder.outputs)
                );
            }
            Error::new(ErrorKind::ModelInvalid, text)
        };
        let last = decoder.unwrap_or(network);
        let states = find_states(last, hints).map_err(|why| refuse(&why))?;
        let links = match decoder {
            Some(decoder) => find_links(network, decoder, hints).map_err(|why| refuse(&why))?,
            None => Vec::new(),
        };
        let remembered = |p: &Port| states.iter().any(|(s, _)| s.name == p.name);
        let (input, order) = {
            let free = || network.inputs.iter().filter(|i| decoder.is_some() || !remembered(i));
            match &hints.input {
                Some(name) => free()
                    .find(|i| i.name == *name)
                    .and_then(|i| Some((i, image_order(i)?)))
                    .ok_or_else(|| refuse(&format!("has no image input '{name}'"))),
                None => free()
                    .find_map(|i| Some((i, image_order(i)?)))
                    .ok_or_else(|| refuse("has no input for an RGB image (four dimensions, three channels)")),
            }?
        };
        if decoder.is_some()
            && let Some(other) = network.inputs.iter().find(|i| i.name != input.name)
        {
            return Err(refuse(&format!(
                "wants an input '{}' beside the picture, and has a decoder",
                other.name
            )));
        }
        // What neither the picture, nor a state, nor the first part fills.
        let free: Vec<&Port> = last
            .inputs
            .iter()
            .filter(|i| (decoder.is_some() || i.name != input.name) && !remembered(i))
            .filter(|i| !links.iter().any(|(_, to)| *to == i.name))
            .collect();
        let ratio = free
            .iter()
            .find(|i| i.name == "downsample_ratio" && i.element == Element::F32 && i.shape.len() <= 1)
            .map(|i| (i.name.clone(), i.least_shape()));
        let prompt = Prompt::find(&free, hints).map_err(|why| refuse(&why))?;
        let prompted = |p: &Port| prompt.iter().flat_map(Prompt::ports).any(|own| own.name == p.name);
        if let Some(other) =
            free.iter().find(|i| !prompted(i) && ratio.as_ref().is_none_or(|(name, _)| i.name != *name))
        {
            return Err(refuse(&format!(
                "wants an input '{0}' that bgremove cannot fill (for a recurrent state, say which output \
                 becomes it, in a sidecar or model-options: recurrent={0}:OUTPUT; for one that says whom to keep: \
                 prompt-points={0}, prompt-box, prompt-mask or prompt-embedding)",
                other.name
            )));
        }
        if !input.element.is_picture() {
            return Err(refuse("takes images of a type that is not float32, float16 or uint8"));
        }
        let named = |name: &String| last.outputs.iter().find(|o| o.name == *name);
        let scores = match &hints.scores {
            Some(name) => Some(named(name).ok_or_else(|| refuse(&format!("has no output '{name}'")))?),
            // The SAM family's names.
            None => {
                last.outputs.iter().find(|o| ["iou_predictions", "iou_scores"].contains(&o.name.as_str()))
            }
        };
        let several = scores.is_some() || hints.class.is_some();
        // A decoder need not lay its masks out as its encoder wants pictures.
        let laid = decoder.is_none().then_some(order);
        let output = match &hints.output {
            Some(name) => named(name).ok_or_else(|| refuse(&format!("has no output '{name}'")))?,
            None => last
                .outputs
                .iter()
                .filter(|o| scores.is_none_or(|s| s.name != o.name))
                .find(|o| no_matte(o, laid, several).is_none())
                .ok_or_else(|| {
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
            fit: hints.fit.unwrap_or(InputFit::Letterbox),
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
            prompt,
            links,
            // Whoever names a class wants that one.
            separate: scores.is_some(),
            scores: scores.filter(|_| hints.class.is_none()).map(|o| o.name.clone()),
        })
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

/// Why an output cannot be a matte, if so. `order`: of its dimensions, if that is known; `several`: it may be several mattes,
/// of which one is taken.
pub(super) fn no_matte(port: &Port, order: Option<Order>, several: bool) -> Option<&'static str> {
    if !port.element.is_picture() {
        return Some("no float32, float16 or uint8");
    }
    let shape = match &port.shape[..] {
        // A batch in a batch.
        [1 | -1, rest @ ..] if rest.len() == 4 => rest,
        shape => shape,
    };
    if !(2..=4).contains(&shape.len()) {
        return Some("no image: two to four dimensions");
    }
    let fits = |channels: i64| channels == -1 || (1..=if several { 4 } else { 2 }).contains(&channels);
    match *shape {
        // Two dimensions are a batch of class scores as often as a picture.
        [h, w] if h <= 1 || w <= 1 => Some("no image: a size is open, or 1"),
        [_, first, _, last] => {
            let fits = match order {
                Some(Order::Nchw) => fits(first),
                Some(Order::Nhwc) => fits(last),
                None => fits(first) || fits(last),
            };
            (!fits).then_some("a matte has one or two channels")
        }
        _ => None,
    }
}

/// The recurrent state's inputs, each with the output that becomes it.
fn find_states(last: Signature<'_>, hints: &Hints) -> std::result::Result<Vec<(Port, String)>, String> {
    let Some(pairs) = &hints.recurrent else {
        // RVM's names: r1i … r4i go in, r1o … r4o come out.
        let states = last.inputs.iter().filter_map(|i| {
            let stem = i.name.strip_suffix('i')?;
            let out = last.outputs.iter().find(|o| o.name.strip_suffix('o') == Some(stem))?;
            Some((i.clone(), out.name.clone()))
        });
        return Ok(states.collect());
    };
    let state = |(i, o): &(String, String)| {
        let input = last.inputs.iter().find(|p| p.name == *i).ok_or_else(|| format!("has no input '{i}'"))?;
        if !last.outputs.iter().any(|p| p.name == *o) {
            return Err(format!("has no output '{o}'"));
        }
        Ok((input.clone(), o.clone()))
    };
    pairs.iter().map(state).collect()
}

/// What goes from the first part to the second: what is said, and what has the same name.
fn find_links(
    network: Signature<'_>,
    decoder: Signature<'_>,
    hints: &Hints,
) -> std::result::Result<Vec<(String, String)>, String> {
    let mut links = hints.link.clone().unwrap_or_default();
    for port in decoder.inputs {
        let given = network.outputs.iter().any(|o| o.name == port.name);
        if given && !links.iter().any(|(_, to)| *to == port.name) {
            links.push((port.name.clone(), port.name.clone()));
        }
    }
    if links.is_empty() {
        return Err(
            "gives nothing that its decoder has an input for (link=OUTPUT:INPUT says what becomes what)"
                .into(),
        );
    }
    for (from, to) in &links {
        let Some(output) = network.outputs.iter().find(|p| p.name == *from) else {
            return Err(format!("has no output '{from}' for its decoder"));
        };
        let Some(input) = decoder.inputs.iter().find(|p| p.name == *to) else {
            return Err(format!("has a decoder without an input '{to}'"));
        };
        let meets = |(a, b): (&i64, &i64)| *a < 0 || *b < 0 || a == b;
        let alike =
            output.shape.len() == input.shape.len() && output.shape.iter().zip(&input.shape).all(meets);
        if output.element != input.element || !alike {
            return Err(format!("gives its decoder {output}, which wants {input}"));
        }
    }
    Ok(links)
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

    /// As SAM 2.1 is exported: an encoder and a decoder.
    fn sam() -> [Vec<Port>; 4] {
        let features = || {
            vec![
                port("high_res_feats_0", &[1, 32, 256, 256]),
                port("high_res_feats_1", &[1, 64, 128, 128]),
                port("image_embed", &[1, 256, 64, 64]),
            ]
        };
        let mut inputs = features();
        inputs.extend([
            port("point_coords", &[-1, -1, 2]),
            port("point_labels", &[-1, -1]),
            port("mask_input", &[-1, 1, 256, 256]),
            port("has_mask_input", &[1]),
        ]);
        let outputs = vec![
            port("masks", &[-1, 3, 1024, 1024]),
            port("iou_predictions", &[-1, 3]),
            port("low_res_masks", &[-1, 3, 256, 256]),
        ];
        [vec![port("image", &[1, 3, 1024, 1024])], features(), inputs, outputs]
    }

    fn of(ports: &[Vec<Port>; 4], hints: &Hints) -> Result<Spec> {
        let [a, b, c, d] = ports;
        Spec::of(Signature { inputs: a, outputs: b }, Some(Signature { inputs: c, outputs: d }), hints)
    }

    #[test]
    fn a_network_in_two_parts_is_read_by_its_names() {
        let ports = sam();
        let spec = of(&ports, &Hints::default()).unwrap();
        assert_eq!((spec.input.as_str(), spec.output.as_str()), ("image", "masks"));
        assert_eq!(spec.scores.as_deref(), Some("iou_predictions"));
        assert_eq!(spec.links.len(), 3);
        let prompt = spec.prompt.as_ref().unwrap();
        let names: Vec<_> = prompt.ports().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["point_coords", "point_labels", "mask_input", "has_mask_input"]);
        // A class that is named is one of the masks.
        let one =
            of(&ports, &Hints { class: Some(0), output: Some("masks".into()), ..Hints::default() }).unwrap();
        assert_eq!((one.scores, one.class), (None, Some(0)));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused_in_words() {
        let mut ports = sam();
        ports[1][2].shape[1] = 128;
        let why = of(&ports, &Hints::default()).unwrap_err().text;
        assert!(why.contains("image_embed") && why.contains("which wants"), "{why}");
        let mut ports = sam();
        ports[2].push(port("speed", &[1]));
        let why = of(&ports, &Hints::default()).unwrap_err().text;
        assert!(why.contains("'speed'") && why.contains("prompt-points=speed"), "{why}");
        let mut ports = sam();
        ports[1].iter_mut().for_each(|p| p.name.push('x'));
        let why = of(&ports, &Hints::default()).unwrap_err().text;
        assert!(why.contains("link=OUTPUT:INPUT"), "{why}");
        let link =
            ["high_res_feats_0", "high_res_feats_1", "image_embed"].map(|n| (format!("{n}x"), n.to_string()));
        assert!(of(&ports, &Hints { link: Some(link.into()), ..Hints::default() }).is_ok());
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
