//! Writes ONNX files: the few messages of onnx.proto (version 1.15, IR 8) that a converted network needs.
//!
//! Protocol buffers are a list of fields, each a key (number × 8 + wire type) and a value. What goes in
//! first comes out first and attributes are sorted, so the same network gives the same bytes each time.

use std::collections::HashMap;

/// The version of ONNX's own operators that the networks are written in.
const OPSET: u64 = 17;
/// The newest file format that ONNX Runtime 1.20 and anything of its age reads without a question.
const IR_VERSION: u64 = 8;

/// TensorProto.DataType.
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// The value of a node's attribute.
#[derive(Clone, Copy, Debug)]
pub enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug)]
pub enum Dim<'a> {
    Fixed(u64),
    /// Open; equal names mean equal sizes.
    Named(&'a str),
}

/// A network that is being put together, node by node in the order of computation.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<u8>,
    node_count: usize,
    tensors: Vec<u8>,
    /// Constants by what they hold, so that each is written once: their names.
    known: HashMap<Vec<u8>, String>,
    inputs: Vec<u8>,
    outputs: Vec<u8>,
}

impl Graph {
    /// Adds a node with one output and gives the output's name: `name`, or else one that is made up.
    pub fn node(
        &mut self,
        kind: &str,
        inputs: &[&str],
        name: Option<&str>,
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        let out = name.map_or_else(|| format!("{kind}_{}", self.node_count), str::to_string);
        self.add(kind, inputs, std::slice::from_ref(&out), attributes);
        out
    }

    /// Adds a node with two outputs, and gives their names.
    pub fn node2(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> (String, String) {
        let [a, b] = [0, 1].map(|i| format!("{kind}_{}_{i}", self.node_count));
        self.add(kind, inputs, &[a.clone(), b.clone()], attributes);
        (a, b)
    }

    /// NodeProto.
    fn add(&mut self, kind: &str, inputs: &[&str], outputs: &[String], attributes: &[(&str, Attribute<'_>)]) {
        let mut node = Vec::new();
        for name in inputs {
            bytes(&mut node, 1, name.as_bytes());
        }
        for name in outputs {
            bytes(&mut node, 2, name.as_bytes());
        }
        bytes(&mut node, 3, format!("{kind}_{}", self.node_count).as_bytes());
        bytes(&mut node, 4, kind.as_bytes());
        let mut sorted: Vec<_> = attributes.iter().collect();
        sorted.sort_by_key(|(name, _)| *name);
        for (name, value) in sorted {
            bytes(&mut node, 5, &attribute(name, *value));
        }
        bytes(&mut self.nodes, 1, &node);
        self.node_count += 1;
    }

    /// A constant of float32, and its name: `stem` and a number. `shape` has to fit `values`.
    pub fn floats(&mut self, stem: &str, shape: &[usize], values: &[f32]) -> String {
        self.constant(stem, FLOAT, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// A constant list of int64, and its name.
    pub fn ints(&mut self, values: &[i64]) -> String {
        self.constant("c", INT64, &[values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// TensorProto.
    fn constant(&mut self, stem: &str, kind: u64, shape: &[usize], raw: Vec<u8>) -> String {
        let mut head = Vec::new();
        for d in shape {
            number(&mut head, 1, *d as u64);
        }
        number(&mut head, 2, kind);
        let mut data = Vec::with_capacity(raw.len() + 8);
        bytes(&mut data, 9, &raw);
        let key = [&head[..], &data[..]].concat();
        if let Some(name) = self.known.get(&key) {
            return name.clone();
        }
        let name = format!("{stem}_{}", self.known.len());
        bytes(&mut head, 8, name.as_bytes());
        head.append(&mut data);
        bytes(&mut self.tensors, 5, &head);
        self.known.insert(key, name.clone());
        name
    }

    /// Declares a float32 input.
    pub fn input(&mut self, name: &str, shape: &[Dim<'_>]) {
        bytes(&mut self.inputs, 11, &value_info(name, shape));
    }

    /// Declares a float32 output.
    pub fn output(&mut self, name: &str, shape: &[Dim<'_>]) {
        bytes(&mut self.outputs, 12, &value_info(name, shape));
    }

    /// The whole file: ModelProto with GraphProto in it.
    pub fn finish(self, name: &str, producer: &str) -> Vec<u8> {
        let mut graph = self.nodes;
        bytes(&mut graph, 2, name.as_bytes());
        graph.extend(self.tensors);
        graph.extend(self.inputs);
        graph.extend(self.outputs);
        let mut model = Vec::with_capacity(graph.len() + 64);
        number(&mut model, 1, IR_VERSION);
        bytes(&mut model, 2, producer.as_bytes());
        bytes(&mut model, 7, &graph);
        let mut opset = Vec::new();
        // ONNX's own operators have the empty domain.
        bytes(&mut opset, 1, b"");
        number(&mut opset, 2, OPSET);
        bytes(&mut model, 8, &opset);
        model
    }
}

/// AttributeProto; field 20 says which of the value fields counts.
fn attribute(name: &str, value: Attribute<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    let kind = match value {
        Attribute::Float(v) => {
            varint(&mut out, 2 << 3 | 5);
            out.extend(v.to_le_bytes());
            1
        }
        Attribute::Int(v) => {
            number(&mut out, 3, v as u64);
            2
        }
        Attribute::Text(v) => {
            bytes(&mut out, 4, v.as_bytes());
            3
        }
        Attribute::Ints(list) => {
            for v in list {
                number(&mut out, 8, *v as u64);
            }
            7
        }
    };
    number(&mut out, 20, kind);
    out
}

/// ValueInfoProto: a name and a TypeProto that holds a float32 tensor of this shape.
fn value_info(name: &str, shape: &[Dim<'_>]) -> Vec<u8> {
    let mut dims = Vec::new();
    for d in shape {
        let mut dim = Vec::new();
        match d {
            Dim::Fixed(n) => number(&mut dim, 1, *n),
            Dim::Named(n) => bytes(&mut dim, 2, n.as_bytes()),
        }
        bytes(&mut dims, 1, &dim);
    }
    let mut tensor = Vec::new();
    number(&mut tensor, 1, FLOAT);
    bytes(&mut tensor, 2, &dims);
    let mut kind = Vec::new();
    bytes(&mut kind, 1, &tensor);
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    bytes(&mut out, 2, &kind);
    out
}

fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// A field that holds a number.
fn number(out: &mut Vec<u8>, field: u64, v: u64) {
    varint(out, field << 3);
    varint(out, v);
}

/// A field that holds bytes, a text or another message.
fn bytes(out: &mut Vec<u8>, field: u64, data: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, data.len() as u64);
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        let mut out = Vec::new();
        number(&mut out, 1, 300);
        assert_eq!(out, [0x08, 0xac, 0x02]);
        // Field 20 needs two bytes for its key; a negative int64 takes ten bytes.
        let mut out = Vec::new();
        number(&mut out, 20, -1i64 as u64);
        assert_eq!(out, [0xa0, 0x01, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn a_tensor_is_written_as_the_specification_says() {
        let mut graph = Graph::default();
        assert_eq!(graph.floats("w", &[1, 2], &[1.0, -2.0]), "w_0");
        let wanted = [
            &[0x2a, 21][..],                             // GraphProto.initializer
            &[0x08, 1, 0x08, 2],                         // dims
            &[0x10, 1],                                  // data_type FLOAT
            &[0x42, 3, b'w', b'_', b'0'],                // name
            &[0x4a, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], // raw_data
        ]
        .concat();
        assert_eq!(graph.tensors, wanted);
    }

    #[test]
    fn equal_constants_are_written_once() {
        let mut graph = Graph::default();
        let a = graph.floats("w", &[2], &[0.0, 0.0]);
        assert_eq!(graph.floats("b", &[2], &[0.0, 0.0]), a);
        // Another shape or another type is another constant, even with the same bytes.
        assert_eq!(graph.floats("w", &[2, 1], &[0.0, 0.0]), "w_1");
        assert_eq!(graph.ints(&[0]), "c_2");
        assert_eq!(graph.ints(&[0]), "c_2");
    }

    #[test]
    fn attributes_come_sorted_and_typed() {
        let mut graph = Graph::default();
        let out = graph.node(
            "Conv",
            &["x", ""],
            None,
            &[("b", Attribute::Ints(&[1, -1])), ("a", Attribute::Float(0.5))],
        );
        assert_eq!(out, "Conv_0");
        let text = &graph.nodes;
        let a = text.windows(2).position(|w| w == [1, b'a']).unwrap();
        let b = text.windows(2).position(|w| w == [1, b'b']).unwrap();
        assert!(a < b);
        assert_eq!(text[a + 2..a + 10], [0x15, 0, 0, 0, 0x3f, 0xa0, 0x01, 1]);
        // The omitted input is there as an empty name.
        assert_eq!(text[2..7], [0x0a, 1, b'x', 0x0a, 0]);
    }
}
