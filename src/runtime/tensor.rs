//! What goes into a network and comes out of it: its ports, and the numbers in them.

use super::exit::Working;
use super::run::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;
use ort::session::SharedSessionInner;
use ort::value::{DynValue, Tensor, TensorElementType, ValueType};
use std::borrow::Cow;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex};

/// Element types of tensors that the plugin can fill or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    F32,
    F16,
    U8,
    I32,
    I64,
    /// Anything else; kept for the message.
    Other,
}

impl Element {
    /// Whether pictures and masks may be of it.
    pub fn is_picture(self) -> bool {
        matches!(self, Element::F32 | Element::F16 | Element::U8)
    }
}

/// An input or an output of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub element: Element,
    /// Dimensions; −1 where the file leaves one open.
    pub shape: Vec<i64>,
    /// The type in words.
    pub described: String,
}

impl Port {
    /// Its shape with a 1 for each dimension that is open.
    pub fn least_shape(&self) -> Vec<i64> {
        self.shape.iter().map(|d| (*d).max(1)).collect()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.described)
    }
}

/// The contents of an input, in the file's element type.
#[derive(Debug)]
pub enum Input<'a> {
    F32(&'a [f32]),
    F16(&'a [half::f16]),
    U8(&'a [u8]),
    /// With a shape of its own.
    Value(&'a Value),
}

/// A tensor in the runtime's memory, which goes into runs without a copy: recurrent state, what an encoder gives, a prompt.
#[derive(Debug)]
pub struct Value {
    pub(super) value: ManuallyDrop<DynValue>,
    /// Whose arena it lies in; after the value, which is let go first.
    pub(super) session: Option<Arc<SharedSessionInner>>,
    pub(super) let_go: Option<LetGo>,
}

/// Values in a provider's own memory that nobody wants any more. They are let go in the next turn: beside a run a provider that
/// does not bear another one would not bear that either.
pub(super) type LetGo = Arc<Mutex<Vec<(DynValue, Arc<SharedSessionInner>)>>>;

impl Drop for Value {
    fn drop(&mut self) {
        let _working = Working::new();
        let (let_go, session) = (self.let_go.take(), self.session.take());
        // SAFETY: it is taken once, and not used after this.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        if let (Some(list), Some(session)) = (&let_go, session) {
            lock(list).push((value, session));
        }
    }
}

impl Value {
    /// A recurrent state of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::ModelInvalid`] when it would be larger than any network's, or is of no floating type.
    pub fn zeros(element: Element, shape: &[i64]) -> Result<Self> {
        let n = Self::length(shape).ok_or_else(|| {
            Error::new(
                ErrorKind::ModelInvalid,
                format!("a recurrent state of shape {shape:?} is larger than any should be"),
            )
        })?;
        match element {
            Element::F32 | Element::F16 => Self::of(element, shape, vec![0.0; n]),
            _ => Err(Error::new(ErrorKind::ModelInvalid, "a recurrent state must be float32 or float16")),
        }
    }

    /// These numbers, rounded where the type is of whole ones.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`] when there are not as many as the shape says, or they cannot be of this type.
    pub fn of(element: Element, shape: &[i64], numbers: Vec<f32>) -> Result<Self> {
        let _working = Working::new();
        let shape = shape.to_vec();
        let value = match element {
            Element::F32 => Tensor::from_array((shape, numbers)).map(|t| t.into_dyn()),
            Element::F16 => {
                let halves: Vec<_> = numbers.into_iter().map(half::f16::from_f32).collect();
                Tensor::from_array((shape, halves)).map(|t| t.into_dyn())
            }
            Element::U8 => {
                let bytes: Vec<_> = numbers.into_iter().map(|v| v.round() as u8).collect();
                Tensor::from_array((shape, bytes)).map(|t| t.into_dyn())
            }
            Element::I32 => {
                let whole: Vec<_> = numbers.into_iter().map(|v| v.round() as i32).collect();
                Tensor::from_array((shape, whole)).map(|t| t.into_dyn())
            }
            Element::I64 => {
                let whole: Vec<_> = numbers.into_iter().map(|v| v.round() as i64).collect();
                Tensor::from_array((shape, whole)).map(|t| t.into_dyn())
            }
            Element::Other => {
                return Err(Error::new(ErrorKind::Inference, "an input is of a type that cannot be filled"));
            }
        };
        value
            .map(|value| Self { value: ManuallyDrop::new(value), session: None, let_go: None })
            .map_err(failed)
    }

    /// How many numbers a shape has; `None` above 2²⁸, a gigabyte, which no network wants.
    pub(crate) fn length(shape: &[i64]) -> Option<usize> {
        let size = |n: usize, d: &i64| n.checked_mul(usize::try_from(*d).ok()?);
        shape.iter().try_fold(1, size).filter(|n| *n <= 1 << 28)
    }
}

/// An output to read: its shape and its numbers.
#[derive(Debug)]
pub struct View<'a> {
    pub shape: Vec<i64>,
    pub data: Cow<'a, [f32]>,
}

impl Port {
    pub(super) fn of(name: &str, dtype: &ValueType) -> Self {
        let (element, shape) = match dtype {
            ValueType::Tensor { ty, shape, .. } => {
                let element = match ty {
                    TensorElementType::Float32 => Element::F32,
                    TensorElementType::Float16 => Element::F16,
                    TensorElementType::Uint8 => Element::U8,
                    TensorElementType::Int32 => Element::I32,
                    TensorElementType::Int64 => Element::I64,
                    _ => Element::Other,
                };
                (element, shape.iter().copied().collect())
            }
            _ => (Element::Other, Vec::new()),
        };
        let kind = match dtype {
            ValueType::Tensor { ty, .. } => ty.to_string(),
            _ => "not a tensor".to_string(),
        };
        let dims: Vec<String> =
            shape.iter().map(|&d: &i64| if d < 0 { "?".to_string() } else { d.to_string() }).collect();
        Port { name: name.to_string(), element, shape, described: format!("{kind}[{}]", dims.join(",")) }
    }
}

/// An output as numbers.
pub(super) fn view<'a>(name: &str, value: &'a DynValue) -> Result<View<'a>> {
    if let Ok((shape, data)) = value.try_extract_tensor::<f32>() {
        return Ok(View { shape: shape.to_vec(), data: Cow::Borrowed(data) });
    }
    if let Ok((shape, data)) = value.try_extract_tensor::<half::f16>() {
        return Ok(View { shape: shape.to_vec(), data: data.iter().map(|v| v.to_f32()).collect() });
    }
    if let Ok((shape, data)) = value.try_extract_tensor::<u8>() {
        return Ok(View {
            shape: shape.to_vec(),
            data: data.iter().map(|v| f32::from(*v) / 255.0).collect(),
        });
    }
    Err(Error::new(
        ErrorKind::Inference,
        format!("the output '{name}' is no float32, float16 or uint8 tensor"),
    ))
}
