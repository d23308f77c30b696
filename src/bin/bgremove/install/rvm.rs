//! Robust Video Matting (MobileNetV3) as an ONNX file, out of the authors' TensorFlow.js file.
//!
//! Only the weights come from that file; the graph is laid out here, after the published architecture.
//! TensorFlow.js has folded the batch norms into the convolutions, but for three dilated depthwise ones,
//! which are folded here. Convolutions are found by Keras' layer numbers: conv2d, conv2d_1, ….

use super::onnx::{Attribute, Dim, Graph};
use super::tfjs::{Tensor, Weights};
use super::{Error, Result};

/// What the ONNX file looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The network alone, for pictures that have network size already, in multiples of 16. The 3-channel
    /// skip image is padded to 8 channels and the last decoder convolution split in two, so that ONNX
    /// Runtime's blocked kernels take the decoder: the same numbers, sooner.
    Fast,
    /// Inputs and outputs of the authors' own ONNX files: any size, `downsample_ratio`, and the fast
    /// guided filter that brings the matte back to the frame's size. (The file has no weights of the deep
    /// guided filter.)
    Official,
}

/// An activation after a convolution.
#[derive(Clone, Copy)]
enum Act {
    None,
    Relu,
    HardSwish,
    Sigmoid,
    Tanh,
}
use Act::{HardSwish as HS, Relu as RE};

/// A block of MobileNetV3.
struct Block {
    input: usize,
    expanded: usize,
    output: usize,
    squeeze: bool,
    act: Act,
    stride: i64,
    dilation: i64,
}

const fn block(input: usize, expanded: usize, output: usize, squeeze: bool, act: Act, stride: i64) -> Block {
    Block { input, expanded, output, squeeze, act, stride, dilation: 1 }
}

const BLOCKS: [Block; 15] = [
    block(16, 16, 16, false, RE, 1),
    block(16, 64, 24, false, RE, 2),
    block(24, 72, 24, false, RE, 1),
    block(24, 72, 40, true, RE, 2),
    block(40, 120, 40, true, RE, 1),
    block(40, 120, 40, true, RE, 1),
    block(40, 240, 80, false, HS, 2),
    block(80, 200, 80, false, HS, 1),
    block(80, 184, 80, false, HS, 1),
    block(80, 184, 80, false, HS, 1),
    block(80, 480, 112, true, HS, 1),
    block(112, 672, 112, true, HS, 1),
    Block { dilation: 2, ..block(112, 672, 160, true, HS, 2) },
    Block { dilation: 2, ..block(160, 960, 160, true, HS, 1) },
    Block { dilation: 2, ..block(160, 960, 160, true, HS, 1) },
];
/// The decoder's states r1 … r4 have so many channels.
const STATES: [u64; 4] = [16, 20, 40, 64];
/// The number of Keras' convolutions; all have to be used.
const CONVOLUTIONS: usize = 63;

/// Puts the network together.
///
/// # Errors
/// When a weight is not there or does not have the shape that the network wants.
pub fn convert(weights: &Weights, layout: Layout) -> Result<Vec<u8>> {
    let mut b = Builder { weights, layout, graph: Graph::default(), convolutions: 0, layers: 0 };
    b.network()?;
    if b.convolutions != CONVOLUTIONS {
        return Err(Error::failed(format!("{} convolutions, not {CONVOLUTIONS}", b.convolutions)));
    }
    let mut graph = b.graph;
    use Dim::{Fixed, Named};
    let frame = |channels| [Named("B"), Fixed(channels), Named("H"), Named("W")];
    graph.input("src", &frame(3));
    for k in 1..=4 {
        let dims = ["b", "c", "h", "w"].map(|d| format!("{d}{k}"));
        graph.input(&format!("r{k}i"), &dims.each_ref().map(|d| Named(d)));
    }
    if layout == Layout::Official {
        graph.input("downsample_ratio", &[Fixed(1)]);
    }
    graph.output("fgr", &frame(3));
    graph.output("pha", &frame(1));
    for (k, channels) in (1..).zip(STATES) {
        let [h, w] = ["h", "w"].map(|d| format!("{d}{k}o"));
        graph.output(&format!("r{k}o"), &[Named("B"), Fixed(channels), Named(&h), Named(&w)]);
    }
    // The name is part of the bytes: the first converter's, so that the file stays the one it was.
    Ok(graph.finish("rvm_mobilenetv3", "rvm_tfjs_to_onnx"))
}

/// What a convolution has besides its weights.
struct Conv {
    act: Act,
    stride: i64,
    dilation: i64,
    group: usize,
}

impl Conv {
    fn plain(act: Act) -> Self {
        Self { act, stride: 1, dilation: 1, group: 1 }
    }
}

struct Builder<'a> {
    weights: &'a Weights,
    layout: Layout,
    graph: Graph,
    /// The next ordinary convolution's number.
    convolutions: usize,
    /// The next "conv_bn_activation" layer's number.
    layers: usize,
}

/// Keras' name of layer `i`.
fn layer(stem: &str, i: usize) -> String {
    if i == 0 { stem.to_string() } else { format!("{stem}_{i}") }
}

impl Builder<'_> {
    fn fast(&self) -> bool {
        self.layout == Layout::Fast
    }

    fn op(&mut self, kind: &str, inputs: &[&str]) -> String {
        self.graph.node(kind, inputs, None, &[])
    }

    fn concat(&mut self, inputs: &[&str], axis: i64) -> String {
        self.graph.node("Concat", inputs, None, &[("axis", Attribute::Int(axis))])
    }

    /// Splits in two halves along the channels.
    fn halves(&mut self, x: &str) -> (String, String) {
        self.graph.node2("Split", &[x], &[("axis", Attribute::Int(1))])
    }

    fn resize(&mut self, inputs: &[&str]) -> String {
        let how = [
            ("mode", Attribute::Text("linear")),
            ("coordinate_transformation_mode", Attribute::Text("half_pixel")),
        ];
        self.graph.node("Resize", inputs, None, &how)
    }

    fn scalar(&mut self, v: f32) -> String {
        self.graph.floats("c", &[1], &[v])
    }

    fn act(&mut self, act: Act, x: String) -> String {
        match act {
            Act::None => x,
            Act::Relu => self.op("Relu", &[&x]),
            Act::Sigmoid => self.op("Sigmoid", &[&x]),
            Act::Tanh => self.op("Tanh", &[&x]),
            Act::HardSwish => {
                let gate = self.hard_sigmoid(&x);
                self.op("Mul", &[&x, &gate])
            }
        }
    }

    fn hard_sigmoid(&mut self, x: &str) -> String {
        let how = [("alpha", Attribute::Float(1.0 / 6.0)), ("beta", Attribute::Float(0.5))];
        self.graph.node("HardSigmoid", &[x], None, &how)
    }

    /// A convolution that keeps the size (but for its stride), with weights laid out, in, height, width.
    fn raw_conv(&mut self, x: &str, w: &Tensor, bias: Option<&Tensor>, c: &Conv) -> String {
        let k = w.shape[2] as i64;
        let p = (k - 1) / 2 * c.dilation;
        let mut inputs = vec![x.to_string(), self.graph.floats("w", &w.shape, &w.data)];
        inputs.extend(bias.map(|b| self.graph.floats("b", &b.shape, &b.data)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let how = [
            ("kernel_shape", Attribute::Ints(&[k, k])),
            ("pads", Attribute::Ints(&[p; 4])),
            ("strides", Attribute::Ints(&[c.stride; 2])),
            ("dilations", Attribute::Ints(&[c.dilation; 2])),
            ("group", Attribute::Int(c.group as i64)),
        ];
        let y = self.graph.node("Conv", &inputs, None, &how);
        self.act(c.act, y)
    }

    /// The weights of the next ordinary convolution, output channels first.
    fn next_weights(&mut self, bias: bool) -> Result<(Tensor, Option<Tensor>)> {
        let name = layer("conv2d", self.convolutions);
        self.convolutions += 1;
        let w = self.weights.get(&[&[&name, "Conv2D_weights"], &[&name, "Conv2D", "ReadVariableOp"]])?;
        let w = transpose(w, [3, 2, 0, 1], &name)?;
        let b = if bias {
            let tails: [&[&str]; 2] = [&[&name, "Conv2D_bn_offset"], &[&name, "BiasAdd", "ReadVariableOp"]];
            Some(self.weights.get(&tails)?.clone())
        } else {
            None
        };
        Ok((w, b))
    }

    fn conv_with(&mut self, x: &str, bias: bool, c: &Conv) -> Result<String> {
        let (mut w, b) = self.next_weights(bias)?;
        // The decoder's skip image has 5 more channels of zeros then: see Layout::Fast.
        if self.fast() && matches!(w.shape[1], 171 | 107 | 59) {
            w = channels(&w, 0, w.shape[1] + 5);
        }
        Ok(self.raw_conv(x, &w, b.as_ref(), c))
    }

    fn conv(&mut self, x: &str, act: Act) -> Result<String> {
        self.conv_with(x, true, &Conv::plain(act))
    }

    /// A convolution over `x` and the three channels of `s` together, as the sum of two.
    fn conv_split(&mut self, x: &str, s: &str, act: Act) -> Result<String> {
        let (w, b) = self.next_weights(true)?;
        let n =
            w.shape[1].checked_sub(3).ok_or_else(|| Error::failed("the last convolution is too small"))?;
        let y = self.raw_conv(s, &channels(&w, n, 3), b.as_ref(), &Conv::plain(Act::None));
        let x = self.raw_conv(x, &channels(&w, 0, n), None, &Conv::plain(Act::None));
        let sum = self.op("Add", &[&x, &y]);
        Ok(self.act(act, sum))
    }

    /// The weights of the next layer's depthwise convolution.
    fn depthwise(&mut self) -> Result<(Tensor, Tensor)> {
        let name = layer("conv_bn_activation", self.layers);
        self.layers += 1;
        let conv = "depthwise_conv2d*";
        let w = self
            .weights
            .get(&[&[&name, conv, "depthwise_weights"], &[&name, conv, "depthwise", "ReadVariableOp"]])?;
        let mut w = transpose(w, [2, 3, 0, 1], &name)?;
        let norm = |what| [name.as_str(), "batch_normalization*", "FusedBatchNormV3", what];
        let Some(scale) = self.weights.find(&[&norm("Scaled")])? else {
            return Ok((w, self.weights.get(&[&[&name, conv, "depthwise_bn_offset"]])?.clone()));
        };
        if scale.data.len() != w.shape[0] {
            return Err(Error::failed(format!(
                "{name}: {} scales for {} channels",
                scale.data.len(),
                w.shape[0]
            )));
        }
        let size = w.shape[1..].iter().product::<usize>().max(1);
        for (channel, s) in w.data.chunks_exact_mut(size).zip(&scale.data) {
            channel.iter_mut().for_each(|v| *v *= s);
        }
        Ok((w, self.weights.get(&[&norm("Offset")])?.clone()))
    }

    /// MobileNetV3's inverted residual.
    fn inverted(&mut self, x: String, block: &Block) -> Result<String> {
        let mut y = x.clone();
        if block.expanded != block.input {
            y = self.conv(&y, block.act)?;
            self.layers += 1;
        }
        let (w, b) = self.depthwise()?;
        let c = Conv {
            act: block.act,
            // Where the convolution is dilated it does not stride.
            stride: if block.dilation > 1 { 1 } else { block.stride },
            dilation: block.dilation,
            group: block.expanded,
        };
        y = self.raw_conv(&y, &w, Some(&b), &c);
        if block.squeeze {
            let mut s = self.op("GlobalAveragePool", &[&y]);
            s = self.conv(&s, RE)?;
            s = self.conv(&s, Act::None)?;
            s = self.hard_sigmoid(&s);
            y = self.op("Mul", &[&y, &s]);
        }
        y = self.conv(&y, Act::None)?;
        self.layers += 1;
        let residual = block.stride == 1 && block.input == block.output;
        Ok(if residual { self.op("Add", &[&y, &x]) } else { y })
    }

    /// Height and width of `x`.
    fn size(&mut self, x: &str) -> String {
        let shape = self.op("Shape", &[x]);
        let (from, to, axis) = (self.graph.ints(&[2]), self.graph.ints(&[4]), self.graph.ints(&[0]));
        self.op("Slice", &[&shape, &from, &to, &axis])
    }

    /// The recurrent unit: from `x` and the state `h` to the new state, which is put out as `out`.
    fn gru(&mut self, x: &str, h: &str, out: &str) -> Result<String> {
        // A state of one zero stands for a whole one.
        let shape = self.op("Shape", &[x]);
        let h = self.op("Expand", &[h, &shape]);
        let xh = self.concat(&[x, &h], 1);
        let rz = self.conv(&xh, Act::Sigmoid)?;
        let (r, z) = self.halves(&rz);
        let rh = self.op("Mul", &[&r, &h]);
        let xh = self.concat(&[x, &rh], 1);
        let c = self.conv(&xh, Act::Tanh)?;
        let one = self.scalar(1.0);
        let rest = self.op("Sub", &[&one, &z]);
        let keep = self.op("Mul", &[&rest, &h]);
        let new = self.op("Mul", &[&z, &c]);
        Ok(self.graph.node("Add", &[&keep, &new], Some(out), &[]))
    }

    /// Twice the size, cut to that of `like` where it may be an odd one.
    fn upsample(&mut self, x: &str, like: &str) -> String {
        let twice = self.graph.floats("c", &[4], &[1.0, 1.0, 2.0, 2.0]);
        let y = self.resize(&[x, "", &twice]);
        if self.fast() {
            return y;
        }
        let from = self.graph.ints(&[0, 0]);
        let to = self.size(like);
        let axes = self.graph.ints(&[2, 3]);
        self.op("Slice", &[&y, &from, &to, &axes])
    }

    /// A block of the decoder; `k` numbers its state.
    fn up_block(&mut self, x: &str, feature: &str, skip: &str, k: usize) -> Result<String> {
        let up = self.upsample(x, skip);
        let all = self.concat(&[&up, feature, skip], 1);
        let x = self.conv(&all, RE)?;
        self.remember(&x, k)
    }

    /// Half of the channels go through the recurrent unit with state `k`.
    fn remember(&mut self, x: &str, k: usize) -> Result<String> {
        let (a, b) = self.halves(x);
        let b = self.gru(&b, &format!("r{k}i"), &format!("r{k}o"))?;
        Ok(self.concat(&[&a, &b], 1))
    }

    fn halve(&mut self, x: &str) -> String {
        let how = [
            ("kernel_shape", Attribute::Ints(&[2, 2])),
            ("strides", Attribute::Ints(&[2, 2])),
            ("ceil_mode", Attribute::Int(1)),
            ("count_include_pad", Attribute::Int(0)),
        ];
        self.graph.node("AveragePool", &[x], None, &how)
    }

    fn network(&mut self) -> Result<()> {
        let mut small = "src".to_string();
        if self.layout == Layout::Official {
            let same = self.graph.floats("c", &[2], &[1.0, 1.0]);
            let scales = self.concat(&[&same, "downsample_ratio", "downsample_ratio"], 0);
            small = self.resize(&["src", "", &scales]);
        }
        let mean = self.graph.floats("c", &[1, 3, 1, 1], &[0.485, 0.456, 0.406]);
        let x = self.op("Sub", &[&small, &mean]);
        let std = [0.229, 0.224, 0.225].map(|v: f64| (1.0 / v) as f32);
        let std = self.graph.floats("c", &[1, 3, 1, 1], &std);
        let x = self.op("Mul", &[&x, &std]);
        let mut x = self.conv_with(&x, true, &Conv { stride: 2, ..Conv::plain(HS) })?;
        self.layers = 1;
        let mut features = Vec::new();
        for (n, block) in BLOCKS.iter().enumerate() {
            x = self.inverted(x, block)?;
            if matches!(n, 0 | 2 | 5) {
                features.push(x.clone());
            }
        }
        x = self.conv(&x, HS)?;
        let a = self.conv(&x, RE)?;
        let pooled = self.op("GlobalAveragePool", &[&x]);
        let gate = self.conv_with(&pooled, false, &Conv::plain(Act::Sigmoid))?;
        x = self.op("Mul", &[&a, &gate]);

        let mut skips = vec![self.halve(&small)];
        if self.fast() {
            let pads = self.graph.ints(&[0, 0, 0, 0, 0, 5, 0, 0]);
            let how = [("mode", Attribute::Text("constant"))];
            skips[0] = self.graph.node("Pad", &[&skips[0], &pads], None, &how);
        }
        for n in 0..2 {
            let next = self.halve(&skips[n]);
            skips.push(next);
        }
        x = self.remember(&x, 4)?;
        for k in [3, 2, 1] {
            x = self.up_block(&x, &features[k - 1], &skips[k - 1], k)?;
        }
        let up = self.upsample(&x, &small);
        let hidden = if self.fast() {
            self.conv_split(&up, &small, RE)?
        } else {
            let all = self.concat(&[&up, &small], 1);
            self.conv(&all, RE)?
        };
        let hidden = self.conv(&hidden, RE)?;
        let mut out = self.conv(&hidden, Act::None)?;
        if self.layout == Layout::Official {
            out = self.guided("src", &small, &out);
        }
        let parts = self.graph.ints(&[3, 1]);
        let (residual, alpha) = self.graph.node2("Split", &[&out, &parts], &[("axis", Attribute::Int(1))]);
        let (low, high) = (self.scalar(0.0), self.scalar(1.0));
        let colour = self.op("Add", &[&residual, "src"]);
        self.graph.node("Clip", &[&colour, &low, &high], Some("fgr"), &[]);
        self.graph.node("Clip", &[&alpha, &low, &high], Some("pha"), &[]);
        Ok(())
    }

    /// The mean over 3×3 pixels, zeros around, of each of four channels.
    fn mean(&mut self, x: &str) -> String {
        let w = Tensor { shape: vec![4, 1, 3, 3], data: vec![1.0 / 9.0; 36] };
        let w = self.graph.floats("w", &w.shape, &w.data);
        let how = [
            ("kernel_shape", Attribute::Ints(&[3, 3])),
            ("pads", Attribute::Ints(&[1; 4])),
            ("group", Attribute::Int(4)),
        ];
        self.graph.node("Conv", &[x, &w], None, &how)
    }

    /// RGB and its mean, as four channels.
    fn with_grey(&mut self, x: &str) -> String {
        let how = [("axes", Attribute::Ints(&[1])), ("keepdims", Attribute::Int(1))];
        let grey = self.graph.node("ReduceMean", &[x], None, &how);
        self.concat(&[x, &grey], 1)
    }

    /// The fast guided filter: `y`, of the size of `small`, brought to that of `src` along its edges.
    fn guided(&mut self, src: &str, small: &str, y: &str) -> String {
        let fine = self.with_grey(src);
        let base = self.with_grey(small);
        let mean_x = self.mean(&base);
        let mean_y = self.mean(y);
        let product = self.op("Mul", &[&base, y]);
        let mean_xy = self.mean(&product);
        let means = self.op("Mul", &[&mean_x, &mean_y]);
        let covariance = self.op("Sub", &[&mean_xy, &means]);
        let square = self.op("Mul", &[&base, &base]);
        let mean_xx = self.mean(&square);
        let means = self.op("Mul", &[&mean_x, &mean_x]);
        let variance = self.op("Sub", &[&mean_xx, &means]);
        let epsilon = self.scalar(1e-5);
        let divisor = self.op("Add", &[&variance, &epsilon]);
        let a = self.op("Div", &[&covariance, &divisor]);
        let ax = self.op("Mul", &[&a, &mean_x]);
        let b = self.op("Sub", &[&mean_y, &ax]);
        let shape = self.op("Shape", &[&a]);
        let (from, to, axis) = (self.graph.ints(&[0]), self.graph.ints(&[2]), self.graph.ints(&[0]));
        let batch = self.op("Slice", &[&shape, &from, &to, &axis]);
        let size = self.size(src);
        let size = self.concat(&[&batch, &size], 0);
        let a = self.resize(&[&a, "", "", &size]);
        let ax = self.op("Mul", &[&a, &fine]);
        let b = self.resize(&[&b, "", "", &size]);
        self.op("Add", &[&ax, &b])
    }
}

/// Brings a four-dimensional array's dimensions into another order: dimension `i` of the result is
/// `order[i]` of `t`.
fn transpose(t: &Tensor, order: [usize; 4], name: &str) -> Result<Tensor> {
    let from: [usize; 4] = t.shape.as_slice().try_into().map_err(|_| {
        Error::failed(format!("the weights of {name} have {} dimensions, not 4", t.shape.len()))
    })?;
    let steps = [from[1] * from[2] * from[3], from[2] * from[3], from[3], 1];
    let [shape, step] = [from, steps].map(|v| order.map(|i| v[i]));
    let mut data = Vec::with_capacity(t.data.len());
    for a in 0..shape[0] {
        for b in 0..shape[1] {
            for c in 0..shape[2] {
                let at = a * step[0] + b * step[1] + c * step[2];
                data.extend((0..shape[3]).map(|d| t.data[at + d * step[3]]));
            }
        }
    }
    Ok(Tensor { shape: shape.to_vec(), data })
}

/// `count` input channels of a convolution's weights from `first` on; zeros past the last one.
fn channels(w: &Tensor, first: usize, count: usize) -> Tensor {
    let size: usize = w.shape[2..].iter().product();
    let mut data = Vec::with_capacity(w.shape[0] * count * size);
    for out in w.data.chunks_exact((w.shape[1] * size).max(1)) {
        let there = &out[(first * size).min(out.len())..((first + count) * size).min(out.len())];
        data.extend_from_slice(there);
        data.resize(data.len() + count * size - there.len(), 0.0);
    }
    Tensor { shape: [&[w.shape[0], count], &w.shape[2..]].concat(), data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_as_numpy_does() {
        let t = Tensor { shape: vec![1, 2, 3, 2], data: (0..12).map(|v| v as f32).collect() };
        let r = transpose(&t, [3, 2, 0, 1], "t").unwrap();
        assert_eq!(r.shape, [2, 3, 1, 2]);
        assert_eq!(r.data, [0., 6., 2., 8., 4., 10., 1., 7., 3., 9., 5., 11.]);
        assert!(transpose(&Tensor { shape: vec![2], data: vec![0.; 2] }, [0, 1, 2, 3], "t").is_err());
    }

    #[test]
    fn channels_are_cut_and_padded() {
        let w = Tensor { shape: vec![2, 3, 1, 1], data: vec![1., 2., 3., 4., 5., 6.] };
        assert_eq!(channels(&w, 1, 2).data, [2., 3., 5., 6.]);
        let padded = channels(&w, 0, 4);
        assert_eq!((padded.shape, padded.data), (vec![2, 4, 1, 1], vec![1., 2., 3., 0., 4., 5., 6., 0.]));
    }

    #[test]
    fn a_missing_weight_is_named() {
        let weights = Weights::read(br#"{"weightsManifest": []}"#, &[]).unwrap();
        let e = convert(&weights, Layout::Fast).unwrap_err().to_string();
        assert!(e.contains("conv2d/Conv2D_weights"), "{e}");
    }
}
