//! Small ONNX files, written field by field (onnx.proto, IR version 8, opset 17).
//!
//! The tests build networks of a few operators with them, whose matte can be computed by hand.

use std::path::{Path, PathBuf};

/// Element types, with their numbers in TensorProto.DataType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    F32 = 1,
    U8 = 2,
    I64 = 7,
    F16 = 10,
}

/// An attribute of a node.
#[derive(Clone, Copy, Debug)]
pub enum Attr<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

/// A network in the making.
#[derive(Clone, Debug, Default)]
pub struct Onnx {
    nodes: Vec<u8>,
    initializers: Vec<u8>,
    ports: Vec<u8>,
}

fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

/// A field that holds a number.
fn number(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value as u64)].concat()
}

/// A field that holds bytes, a text or another message.
fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

impl Onnx {
    pub fn new() -> Self {
        Self::default()
    }

    /// A mask of `width · height` that is the same everywhere, whatever the picture is.
    pub fn constant(value: f32, width: i64, height: i64) -> Self {
        Self::new()
            .input("x", Type::F32, &[1, 3, height, width])
            .f32s("none", &[1, 3, 1, 1], &[0.0; 3])
            .op("Conv", "x none", "zero")
            .scalar("value", value)
            .op("Add", "zero value", "y")
            .output("y", Type::F32, &[1, 1, height, width])
    }

    /// A mask of what a colour has of each channel, in 0..1, and an offset, cut off at 0 and 1.
    pub fn colored(channels: [f32; 3], offset: f32, width: i64, height: i64) -> Self {
        Self::new()
            .input("x", Type::F32, &[1, 3, height, width])
            .f32s("channels", &[1, 3, 1, 1], &channels)
            .op("Conv", "x channels", "color")
            .scalar("offset", offset)
            .op("Add", "color offset", "shifted")
            .scalar("zero", 0.0)
            .scalar("one", 1.0)
            .op("Max", "shifted zero", "above")
            .op("Min", "above one", "y")
            .output("y", Type::F32, &[1, 1, height, width])
    }

    /// An input; a dimension of −1 is left open, under a name of its own.
    pub fn input(self, name: &str, ty: Type, dims: &[i64]) -> Self {
        self.port(11, name, ty, dims)
    }

    /// An output. The first one comes first in the file.
    pub fn output(self, name: &str, ty: Type, dims: &[i64]) -> Self {
        self.port(12, name, ty, dims)
    }

    fn port(mut self, field: u64, name: &str, ty: Type, dims: &[i64]) -> Self {
        let dim = |(i, d): (usize, &i64)| match d {
            -1 => bytes(1, &bytes(2, format!("{name}_{i}").as_bytes())),
            d => bytes(1, &number(1, *d)),
        };
        let shape: Vec<u8> = dims.iter().enumerate().flat_map(dim).collect();
        let tensor = [number(1, ty as i64), bytes(2, &shape)].concat();
        let info = [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat();
        self.ports.extend(bytes(field, &info));
        self
    }

    /// A node without attributes, as in `.op("Add", "a b", "c")`.
    pub fn op(self, op: &str, inputs: &str, outputs: &str) -> Self {
        self.node(op, inputs, outputs, &[])
    }

    /// A node; the names are separated by spaces.
    pub fn node(mut self, op: &str, inputs: &str, outputs: &str, attrs: &[(&str, Attr<'_>)]) -> Self {
        let mut node = Vec::new();
        inputs.split(' ').for_each(|i| node.extend(bytes(1, i.trim_matches('_').as_bytes())));
        outputs.split(' ').for_each(|o| node.extend(bytes(2, o.as_bytes())));
        node.extend(bytes(4, op.as_bytes()));
        for (name, value) in attrs {
            let (value, kind) = match value {
                Attr::Float(f) => ([vec![2 << 3 | 5], f.to_le_bytes().to_vec()].concat(), 1),
                Attr::Int(i) => (number(3, *i), 2),
                Attr::Text(s) => (bytes(4, s.as_bytes()), 3),
                Attr::Ints(list) => (list.iter().flat_map(|i| number(8, *i)).collect(), 7),
            };
            node.extend(bytes(5, &[bytes(1, name.as_bytes()), value, number(20, kind)].concat()));
        }
        self.nodes.extend(bytes(1, &node));
        self
    }

    fn initializer(mut self, name: &str, ty: Type, dims: &[i64], raw: Vec<u8>) -> Self {
        let mut tensor: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
        tensor.extend(number(2, ty as i64));
        tensor.extend(bytes(8, name.as_bytes()));
        tensor.extend(bytes(9, &raw));
        self.initializers.extend(bytes(5, &tensor));
        self
    }

    /// A constant of float32 whose numbers lie in a file.
    pub fn external(mut self, name: &str, dims: &[i64], location: &str) -> Self {
        let mut tensor: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
        tensor.extend(number(2, Type::F32 as i64));
        tensor.extend(bytes(8, name.as_bytes()));
        tensor.extend(bytes(13, &[bytes(1, b"location"), bytes(2, location.as_bytes())].concat()));
        tensor.extend(number(14, 1));
        self.initializers.extend(bytes(5, &tensor));
        self
    }

    pub fn f32s(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.initializer(name, Type::F32, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn f16s(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        self.initializer(name, Type::F16, dims, raw)
    }

    pub fn i64s(self, name: &str, dims: &[i64], values: &[i64]) -> Self {
        self.initializer(name, Type::I64, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// One number.
    pub fn scalar(self, name: &str, value: f32) -> Self {
        self.f32s(name, &[], &[value])
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let graph = [&self.nodes[..], &bytes(2, b"g"), &self.initializers, &self.ports].concat();
        [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 17))].concat()
    }

    /// Writes the file and gives its path.
    pub fn save(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// A mask that is the green channel, after `steps` products of matrices of `side`².
pub fn network(side: i64, steps: usize) -> Onnx {
    let mut n = Onnx::new()
        .input("x", Type::F32, &[1, 3, 36, 64])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .op("Conv", "x green", "mask");
    if steps == 0 {
        return n.op("Identity", "mask", "y").output("y", Type::F32, &[1, 1, 36, 64]);
    }
    n = n
        .op("ReduceMean", "x", "mean")
        .i64s("size", &[4], &[1, 1, side, side])
        .op("Expand", "mean size", "m0")
        .scalar("less", 0.5 / side as f32);
    for k in 0..steps {
        n = n.op("MatMul", &format!("m{k} m0"), &format!("p{k}"));
        n = n.op("Mul", &format!("p{k} less"), &format!("m{}", k + 1));
    }
    n.op("ReduceMean", &format!("m{steps}"), "last")
        .scalar("zero", 0.0)
        .op("Mul", "last zero", "none")
        .op("Add", "mask none", "y")
        .output("y", Type::F32, &[1, 1, 36, 64])
}

/// A mask that is the green channel, for frames of any size. A run takes some milliseconds where the short side is 64,
/// and minutes where it is 1500; it ends between two operators.
pub fn slow_when_large() -> Onnx {
    const STEPS: usize = 1000;
    let mut n = Onnx::new()
        .input("x", Type::F32, &[1, 3, -1, -1])
        .f32s("green", &[1, 3, 1, 1], &[0.0, 1.0, 0.0])
        .op("Conv", "x green", "mask")
        .node("Transpose", "mask", "turned", &[("perm", Attr::Ints(&[0, 1, 3, 2]))])
        .op("MatMul", "mask turned", "m0")
        .scalar("one", 1.0);
    for k in 0..STEPS {
        n = n.op("MatMul", &format!("m{k} m0"), &format!("p{k}"));
        n = n.op("Min", &format!("p{k} one"), &format!("m{}", k + 1));
    }
    n.op("ReduceMean", &format!("m{STEPS}"), "last")
        .scalar("zero", 0.0)
        .op("Mul", "last zero", "none")
        .op("Add", "mask none", "y")
        .output("y", Type::F32, &[1, 1, -1, -1])
}
