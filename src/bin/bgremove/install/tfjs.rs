//! Reads the weights of a TensorFlow.js graph model: a JSON file that lists them and a file that holds
//! their bytes one after the other.
//!
//! A quantised weight is stored as whole numbers q; its value is q × scale + min.

use super::{Error, Result};
use serde_json::Value;

/// An array of numbers, last dimension fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// The float32 weights by name; whole-number ones (shapes, axes) belong to TensorFlow's graph and are
/// left out.
pub struct Weights(Vec<(String, Tensor)>);

/// How a weight's numbers are stored.
#[derive(Clone, Copy)]
enum Stored {
    U8,
    U16,
    F32,
    /// Not a float32 weight; so many bytes each.
    Other(usize),
}

impl Stored {
    fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
            Self::Other(n) => n,
        }
    }
}

impl Weights {
    /// Reads the weights that `json` lists out of `raw`.
    ///
    /// # Errors
    /// When the list is no TensorFlow.js manifest, holds a type that is not known, or does not fit `raw`.
    pub fn read(json: &[u8], mut raw: &[u8]) -> Result<Self> {
        let document: Value =
            serde_json::from_slice(json).map_err(|e| Error::failed(format!("the list of weights: {e}")))?;
        let groups = document["weightsManifest"]
            .as_array()
            .ok_or_else(|| Error::failed("the list of weights has no weightsManifest"))?;
        let mut list = Vec::new();
        for weight in groups.iter().flat_map(|g| g["weights"].as_array().into_iter().flatten()) {
            let name = weight["name"].as_str().unwrap_or_default();
            let wrong = |what: &str| Error::failed(format!("weight '{name}': {what}"));
            let shape: Vec<usize> = weight["shape"]
                .as_array()
                .and_then(|l| l.iter().map(|d| usize::try_from(d.as_u64()?).ok()).collect())
                .ok_or_else(|| wrong("it has no shape"))?;
            let stored = stored(weight).ok_or_else(|| wrong("its type is not known"))?;
            let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            let (bytes, rest) = count
                .and_then(|n| n.checked_mul(stored.size()))
                .and_then(|n| raw.split_at_checked(n))
                .ok_or_else(|| wrong("the file of weights ends before it"))?;
            raw = rest;
            let scale = weight["quantization"]["scale"].as_f64().unwrap_or(1.0);
            let min = weight["quantization"]["min"].as_f64().unwrap_or(0.0);
            // In float64, as TensorFlow.js does, and rounded once.
            let value = |q: f64| (q * scale + min) as f32;
            let data = match stored {
                Stored::Other(_) => continue,
                Stored::U8 => bytes.iter().map(|q| value(f64::from(*q))).collect(),
                Stored::U16 => bytes
                    .chunks_exact(2)
                    .map(|b| value(f64::from(u16::from_le_bytes([b[0], b[1]]))))
                    .collect(),
                Stored::F32 => {
                    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
                }
            };
            list.push((name.to_string(), Tensor { shape, data }));
        }
        if !raw.is_empty() {
            return Err(Error::failed(format!(
                "the file of weights is {} bytes longer than its list",
                raw.len()
            )));
        }
        Ok(Self(list))
    }

    /// The weight whose name ends in one of `tails`, if there is one. A tail is a list of names between
    /// slashes; `*` at the end of one stands for anything.
    ///
    /// # Errors
    /// When there are several.
    pub fn find(&self, tails: &[&[&str]]) -> Result<Option<&Tensor>> {
        let mut hits = self.0.iter().filter(|(name, _)| tails.iter().any(|tail| ends_in(name, tail)));
        let first = hits.next();
        match hits.next() {
            None => Ok(first.map(|(_, tensor)| tensor)),
            Some(_) => Err(Error::failed(format!("there are several weights …/{}", tails[0].join("/")))),
        }
    }

    /// The same, where there has to be one.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn get(&self, tails: &[&[&str]]) -> Result<&Tensor> {
        self.find(tails)?.ok_or_else(|| Error::failed(format!("there is no weight …/{}", tails[0].join("/"))))
    }
}

fn stored(weight: &Value) -> Option<Stored> {
    let quantised = weight.get("quantization").map(|q| q["dtype"].as_str());
    match (weight["dtype"].as_str()?, quantised) {
        ("float32", None) => Some(Stored::F32),
        ("float32", Some(Some("uint8"))) => Some(Stored::U8),
        ("float32", Some(Some("uint16"))) => Some(Stored::U16),
        ("int32", None) => Some(Stored::Other(4)),
        ("bool", None) => Some(Stored::Other(1)),
        _ => None,
    }
}

fn ends_in(name: &str, tail: &[&str]) -> bool {
    let mut parts = name.rsplit('/');
    tail.iter().rev().all(|want| match (parts.next(), want.strip_suffix('*')) {
        (Some(part), Some(stem)) => part.starts_with(stem),
        (Some(part), None) => part == *want,
        (None, _) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"weightsManifest": [{"paths": ["x.bin"], "weights": [
        {"name": "net/conv2d_1/Conv2D_weights", "shape": [1, 1, 1, 3], "dtype": "float32",
         "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
        {"name": "net/axis", "shape": [], "dtype": "int32"},
        {"name": "net/conv2d_11/Conv2D_weights", "shape": [2], "dtype": "float32",
         "quantization": {"dtype": "uint16", "scale": 0.25, "min": 0}}]},
        {"weights": [{"name": "conv2d_62/BiasAdd/ReadVariableOp", "shape": [1], "dtype": "float32"}]}]}"#;

    fn raw() -> Vec<u8> {
        [&[0u8, 2, 255][..], &7i32.to_le_bytes(), &[4, 0, 0, 1], &1.5f32.to_le_bytes()].concat()
    }

    #[test]
    fn quantised_weights_are_scaled_and_moved() {
        let weights = Weights::read(LIST.as_bytes(), &raw()).unwrap();
        let get = |tail: &[&str]| weights.get(&[tail]).unwrap().data.clone();
        assert_eq!(get(&["conv2d_1", "Conv2D_weights"]), [-1.0, 0.0, 126.5]);
        assert_eq!(get(&["conv2d_11", "Conv2D_weights"]), [1.0, 64.0]);
        assert_eq!(get(&["conv2d_62", "BiasAdd", "ReadVariableOp"]), [1.5]);
    }

    #[test]
    fn scales_are_read_to_the_last_bit() {
        let list = r#"{"weightsManifest": [{"weights": [{"name": "w", "shape": [1], "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.05502979054170496, "min": -6.163336540670955}}]}]}"#;
        let weights = Weights::read(list.as_bytes(), &[200]).unwrap();
        let wanted = (200.0f64 * 0.05502979054170496 + -6.163336540670955) as f32;
        assert_eq!(weights.get(&[&["w"]]).unwrap().data[0].to_bits(), wanted.to_bits());
    }

    #[test]
    fn names_are_matched_part_by_part() {
        let weights = Weights::read(LIST.as_bytes(), &raw()).unwrap();
        assert!(weights.find(&[&["conv2d", "Conv2D_weights"]]).unwrap().is_none());
        assert!(weights.get(&[&["conv2d_62", "Conv2D"]]).is_err());
        assert!(weights.find(&[&["conv2d_1*", "Conv2D_weights"]]).is_err(), "two weights fit");
        assert!(weights.find(&[&["x", "conv2d_62", "BiasAdd", "ReadVariableOp"]]).unwrap().is_none());
    }

    #[test]
    fn damaged_files_are_errors() {
        let error = |list: &str, raw: &[u8]| Weights::read(list.as_bytes(), raw).err().unwrap().to_string();
        assert!(error(LIST, &raw()[..9]).contains("conv2d_11"));
        assert!(error(LIST, &[raw(), vec![0]].concat()).contains("1 bytes longer"));
        assert!(error("{", &[]).contains("list of weights"));
        assert!(error("{}", &[]).contains("weightsManifest"));
        assert!(error(&LIST.replace("uint16", "int4"), &raw()).contains("type"));
        assert!(
            error(&LIST.replace("[2]", "[9007199254740993, 4611686018427387904]"), &raw()).contains("ends")
        );
    }
}
