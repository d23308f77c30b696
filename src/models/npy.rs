//! Arrays as NumPy's `save` writes them: the NPY format, versions 1 to 3 (NumPy Enhancement Proposal 1).

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A file's greatest length in bytes.
const LONGEST: u64 = 1 << 26;

/// An array's shape, and its numbers row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<i64>,
    pub numbers: Vec<f32>,
}

/// Reads a file.
///
/// # Errors
/// With the reason: it cannot be read, is no array, or of a type that is not float16, 32 or 64 or int32 or 64.
pub fn read(path: &Path) -> Result<Array, String> {
    let unreadable = |e: std::io::Error| format!("it cannot be read: {e}");
    // Not a pipe, which would wait for a writer.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err("it is no file".into());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err("it is longer than 64 megabytes".into());
    }
    parse(&bytes)
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it is no NPY file")?;
    let cut = || "it is cut off".to_string();
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err("it is of a version that is not known".into()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    // A dictionary as Python writes it, as in {'descr': '<f4', 'fortran_order': False, 'shape': (1, 77), }.
    let header = str::from_utf8(header).map_err(|_| "its header is no text")?;
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let kind = value("descr").and_then(|v| v.strip_prefix('\'')?.split('\'').next());
    if !value("fortran_order").is_some_and(|v| v.starts_with("False")) {
        return Err("it lies column by column; numpy.ascontiguousarray() turns it".into());
    }
    let shape = value("shape").and_then(|v| v.strip_prefix('(')?.split(')').next());
    let dims = shape.ok_or("it has no shape")?.split(',').map(str::trim).filter(|d| !d.is_empty());
    let shape: Vec<i64> = dims
        .map(|d| d.parse().ok().filter(|d| *d >= 0))
        .collect::<Option<_>>()
        .ok_or("its shape is no list of numbers")?;
    let numbers: Vec<f32> = match kind {
        Some("<f2") => words(data, |b| half::f16::from_le_bytes(b).to_f32()),
        Some("<f4") => words(data, f32::from_le_bytes),
        Some("<f8") => words(data, |b| f64::from_le_bytes(b) as f32),
        Some("<i4") => words(data, |b| i32::from_le_bytes(b) as f32),
        Some("<i8") => words(data, |b| i64::from_le_bytes(b) as f32),
        kind => {
            return Err(format!(
                "its numbers are of the type {}; float32 is wanted, or float16, float64, int32 or int64",
                kind.unwrap_or("none")
            ));
        }
    }
    .ok_or_else(cut)?;
    let count = shape.iter().try_fold(1i64, |n, d| n.checked_mul(*d));
    if count != i64::try_from(numbers.len()).ok() {
        return Err(format!("it holds {} numbers, which are not a shape of {shape:?}", numbers.len()));
    }
    Ok(Array { shape, numbers })
}

/// Numbers of `N` bytes each; `None` if the last one is cut off.
fn words<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
    let (words, rest) = data.as_chunks::<N>();
    rest.is_empty().then(|| words.iter().map(|w| number(*w)).collect())
}

impl Array {
    /// Its shape as an input of this shape wants it, −1 where that is open: with more or fewer ones in front.
    pub fn shape_for(&self, wanted: &[i64]) -> Option<Vec<i64>> {
        let own = &self.shape[self.shape.iter().take_while(|d| **d == 1).count()..];
        let front = wanted.len().checked_sub(own.len())?;
        let fits = wanted[..front].iter().all(|d| *d == 1 || *d < 0)
            && wanted[front..].iter().zip(own).all(|(want, own)| *want < 0 || want == own);
        fits.then(|| [vec![1; front], own.to_vec()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn reads_what_numpy_writes() {
        let numbers = [0.5f32, -1.0, 2.0, 8.0];
        let data: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        let array = parse(&file("<f4", "(1, 2, 2)", &data)).unwrap();
        assert_eq!(array, Array { shape: vec![1, 2, 2], numbers: numbers.to_vec() });
        let whole: Vec<u8> = [3i64, -7].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(parse(&file("<i8", "(2,)", &whole)).unwrap().numbers, [3.0, -7.0]);
        assert_eq!(parse(&file("<f4", "()", &data[..4])).unwrap().shape, [0i64; 0]);
    }

    #[test]
    fn what_is_no_array_is_refused_in_words() {
        let data = [0u8; 16];
        for (bytes, why) in [
            (b"PK\x03\x04".to_vec(), "no NPY"),
            (file("<f4", "(1, 5)", &data), "shape"),
            (file("<f4", "(1, 4)", &data[..15]), "cut off"),
            (file(">f4", "(1, 4)", &data), "type >f4"),
            (file("<U4", "(1,)", &data), "type <U4"),
            (file("<f4", "(-4,)", &data), "no list"),
            (b"\x93NUMPY\x01\x00\xff\xff{".to_vec(), "cut off"),
            (b"\x93NUMPY\x09\x00".to_vec(), "version"),
        ] {
            let text = parse(&bytes).unwrap_err();
            assert!(text.contains(why), "{why}: {text}");
        }
    }

    #[test]
    fn ones_in_front_do_not_matter() {
        let array = Array { shape: vec![1, 77, 4], numbers: vec![0.0; 308] };
        assert_eq!(array.shape_for(&[77, 4]), Some(vec![77, 4]));
        assert_eq!(array.shape_for(&[-1, 1, -1, 4]), Some(vec![1, 1, 77, 4]));
        assert_eq!(array.shape_for(&[1, 77, 5]), None);
        assert_eq!(array.shape_for(&[2, 77, 4]), None);
        assert_eq!(array.shape_for(&[4]), None);
    }
}
