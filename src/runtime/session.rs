//! A loaded network: its ports, and runs.

use super::exit::{self, Working};
use super::run::{Cancel, Gate, Memory, cancelled, failed, first_line, run, run_bound};
use super::threads::Threads;
use super::{Device, Provider, Runtime, cache, cuda, device, onnx};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{SessionInputValue, SharedSessionInner};
use ort::value::{DynValue, Tensor, TensorElementType, TensorRef, ValueType};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};

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
    value: ManuallyDrop<DynValue>,
    /// Whose arena it lies in; after the value, which is let go first.
    session: Option<Arc<SharedSessionInner>>,
    let_go: Option<LetGo>,
}

/// Values in a provider's own memory that nobody wants any more. They are let go in the next turn: beside a run a provider that
/// does not bear another one would not bear that either.
type LetGo = Arc<Mutex<Vec<(DynValue, Arc<SharedSessionInner>)>>>;

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

/// A network in memory. It can be shared: runs do not wait for each other on the CPU, and elsewhere as long as the
/// provider cannot begin with them, unless they are cancelled.
pub struct Session {
    session: ManuallyDrop<ort::session::Session>,
    /// Where the provider does not run what comes at the same time side by side.
    gate: Option<Arc<Gate>>,
    /// Where what it remembers lies between two runs, if not in the machine's own memory.
    memory: Option<Memory>,
    let_go: LetGo,
    /// What goes in, in the file's order.
    pub inputs: Vec<Port>,
    /// What comes out, in the file's order.
    pub outputs: Vec<Port>,
    /// Where it runs.
    pub provider: Provider,
    pub device: Device,
    /// Of the file that was loaded, in hexadecimal; `None` for what is built in, and if it was not for sure this one.
    pub sha256: Option<String>,
    /// Length of the file that was loaded.
    pub bytes: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _working = Working::new();
        lock(&self.let_go).clear();
        // SAFETY: nothing uses it after this.
        unsafe { ManuallyDrop::drop(&mut self.session) };
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

/// The threads of one run, the caller's included, of a network of `length` bytes where `wanted` are asked for; 0: as
/// many as the machine has cores, one for a small network.
pub fn threads_of_a_run(length: u64, wanted: u32) -> usize {
    match wanted {
        // Waking a second thread for each operator takes longer than it saves.
        0 if length <= Provider::SMALL => 1,
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n as usize,
    }
}

/// What to load.
#[derive(Clone, Copy, Debug)]
pub enum ModelSource<'a> {
    Memory(&'a [u8]),
    File(&'a Path),
}

/// A network file's contents.
struct Contents<'a> {
    bytes: Cow<'a, [u8]>,
    sha256: Option<String>,
}

impl Contents<'_> {
    /// Reads a file, and finds its sum while it is at hand: who asks for it at the end of a stream does not wait.
    fn read(path: &Path) -> Result<Contents<'static>> {
        /// What protocol buffers can hold.
        const LONGEST: u64 = 1 << 31;
        let refuse = |why: String| Error::new(ErrorKind::ModelInvalid, why);
        let unreadable = |e: io::Error| refuse(format!("{} cannot be read: {e}", path.display()));
        let mut bytes = Vec::new();
        File::open(path).map_err(unreadable)?.take(LONGEST).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 == LONGEST {
            return Err(refuse(format!("{} is longer than an ONNX file can be", path.display())));
        }
        let sha256 = Some(sha256(&bytes));
        Ok(Contents { bytes: Cow::Owned(bytes), sha256 })
    }
}

/// The SHA-256 of a network's file, in hexadecimal.
///
/// # Errors
/// [`ErrorKind::ModelInvalid`] when it cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    Ok(Contents::read(path)?.sha256.unwrap_or_default())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl Session {
    /// Loads a network, for a provider that is named.
    ///
    /// `device`: as in [`Target`](super::Target). `threads`: threads of one run, 0 for as many as the machine has cores (small networks: one). `exact`: no
    /// bfloat16, also where it is faster. `behind`: other threads go first on a busy core, for streams that do not
    /// wait for the network.
    ///
    /// # Errors
    /// [`ErrorKind::ModelInvalid`] with the runtime's own words, and [`ErrorKind::Runtime`] when there is no such device.
    pub fn load(
        runtime: &Runtime,
        source: ModelSource<'_>,
        (provider, device): (Provider, &str),
        threads: u32,
        exact: bool,
        behind: bool,
    ) -> Result<Self> {
        let _working = Working::new();
        match provider {
            Provider::OpenVino => exit::prepare_openvino(&runtime.path),
            Provider::Cuda | Provider::TensorRt => cuda::prepare(&runtime.path),
            _ => {}
        }
        let device = device::choose(provider, device)?;
        let (files, contents) = match source {
            ModelSource::Memory(bytes) => (
                onnx::Files { length: bytes.len() as u64, data: Vec::new() },
                Contents { bytes: Cow::Borrowed(bytes), sha256: None },
            ),
            ModelSource::File(path) => {
                let contents = Contents::read(path)?;
                // What is looked at is what is loaded, whatever becomes of the file meanwhile.
                let length = contents.bytes.len() as u64;
                (onnx::inspect_read(path, Cursor::new(&contents.bytes), length)?, contents)
            }
        };
        let own_length = contents.bytes.len() as u64;
        let length = files.length;
        let threads = threads_of_a_run(length, threads);
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = provider.loads_alone().then(|| lock(&ALONE));
        let how =
            How { runtime, provider, device: &device, count: threads, threads: Threads { behind }, exact };
        let mut sha256 = contents.sha256.clone();
        let session = match source {
            // The data is found beside the file: the runtime has to open it.
            ModelSource::File(path) if !files.data.is_empty() => {
                let session = how
                    .build(GraphOptimizationLevel::All, None)?
                    .commit_from_file(path)
                    .map_err(|e| invalid(&e))?;
                // It may have been another one by then.
                sha256 =
                    sha256.filter(|sum| Contents::read(path).is_ok_and(|c| c.sha256.as_ref() == Some(sum)));
                session
            }
            ModelSource::File(_) if provider == Provider::Cpu => how.open_cached(&contents)?,
            _ => how
                .build(GraphOptimizationLevel::All, None)?
                .commit_from_memory(&contents.bytes)
                .map_err(|e| invalid(&e))?,
        };
        let port = |outlet: &ort::value::Outlet| Port::of(outlet.name(), outlet.dtype());
        let inputs = session.inputs().iter().map(port).collect();
        let outputs = session.outputs().iter().map(port).collect();
        let gate = provider.at_once(threads).map(Gate::new);
        let memory = provider.memory(&device);
        device::settle(provider, &device);
        let let_go = LetGo::default();
        // Much of the runtime's own comes into being with the first network.
        static FIRST: Once = Once::new();
        FIRST.call_once(exit::wait_at_exit);
        Ok(Self {
            session: ManuallyDrop::new(session),
            gate,
            memory,
            let_go,
            inputs,
            outputs,
            provider,
            device,
            sha256,
            bytes: own_length,
        })
    }

    /// The provider, and which of its devices where it has several, as in `webgpu (Radeon 780M)`.
    pub fn place(&self) -> String {
        match self.device.name.as_str() {
            "" => self.provider.name().to_string(),
            name => format!("{} ({name})", self.provider.name()),
        }
    }

    /// Runs the network once.
    ///
    /// `inputs`: name, shape, numbers. `states`: input name, output name, state; each state is replaced
    /// by what the network gives back. `read` is called with the outputs that `wanted` names.
    ///
    /// # Errors
    /// [`ErrorKind::Inference`] if the runtime fails or an output is missing or of another type.
    pub fn run<T>(
        &self,
        inputs: &[(&str, &[i64], Input<'_>)],
        states: &mut [(&str, &str, &mut Value)],
        wanted: &[&str],
        read: impl FnOnce(&[View<'_>]) -> Result<T>,
    ) -> Result<T> {
        self.run_unless(&Cancel::default(), inputs, states, wanted, read)
    }

    /// As [`Session::run`], and fails soon after `cancel` is called from another thread. States stay what they
    /// were then.
    ///
    /// # Errors
    /// As for [`Session::run`], and [`ErrorKind::Cancelled`].
    pub fn run_unless<T>(
        &self,
        cancel: &Cancel,
        inputs: &[(&str, &[i64], Input<'_>)],
        states: &mut [(&str, &str, &mut Value)],
        wanted: &[&str],
        read: impl FnOnce(&[View<'_>]) -> Result<T>,
    ) -> Result<T> {
        let _working = Working::new();
        let mut names = wanted.to_vec();
        for (_, name, _) in states.iter() {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let outputs = self.outputs(cancel, inputs, states, &names, wanted.len())?;
        let views =
            names.iter().zip(&outputs).take(wanted.len()).map(|(name, value)| view(name, &value.value));
        let views = views.collect::<Result<Vec<_>>>()?;
        let result = read(&views)?;
        drop(views);
        let mut outputs: Vec<Option<Value>> = outputs.into_iter().map(Some).collect();
        for (_, name, state) in states {
            let at = names.iter().position(|n| n == name);
            let value = at.and_then(|i| outputs[i].take()).ok_or_else(|| {
                Error::new(ErrorKind::Inference, format!("the network gave no state '{name}' of its own"))
            })?;
            **state = value;
        }
        Ok(result)
    }

    /// Runs the network once for outputs that are another network's inputs, in the order of `names`.
    ///
    /// # Errors
    /// As for [`Session::run_unless`].
    pub fn values(
        &self,
        cancel: &Cancel,
        inputs: &[(&str, &[i64], Input<'_>)],
        names: &[&str],
    ) -> Result<Vec<Value>> {
        let _working = Working::new();
        self.outputs(cancel, inputs, &[], names, names.len())
    }

    fn own(&self, value: DynValue) -> Value {
        Value {
            value: ManuallyDrop::new(value),
            session: Some(self.session.inner()),
            let_go: self.memory.map(|_| Arc::clone(&self.let_go)),
        }
    }

    /// The outputs of these names. The first `read` of them can be read; the others may lie in the provider's own memory.
    fn outputs(
        &self,
        cancel: &Cancel,
        inputs: &[(&str, &[i64], Input<'_>)],
        states: &[(&str, &str, &mut Value)],
        names: &[&str],
        read: usize,
    ) -> Result<Vec<Value>> {
        let _turn = self.gate.as_ref().map(|gate| gate.enter(cancel)).transpose()?;
        let unwanted = std::mem::take(&mut *lock(&self.let_go));
        drop(unwanted);
        let options = cancel.options()?;
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
        for (name, shape, data) in inputs {
            let shape = shape.to_vec();
            let value = match data {
                Input::F32(d) => TensorRef::from_array_view((shape, *d)).map(SessionInputValue::from),
                Input::F16(d) => TensorRef::from_array_view((shape, *d)).map(SessionInputValue::from),
                Input::U8(d) => TensorRef::from_array_view((shape, *d)).map(SessionInputValue::from),
                Input::Value(v) => Ok(SessionInputValue::from(&*v.value)),
            };
            values.push((name, value.map_err(failed)?));
        }
        for (name, _, state) in states {
            values.push((name, SessionInputValue::from(&*state.value)));
        }
        let done = match self.memory.filter(|_| read < names.len()) {
            Some(memory) => {
                let place = |(at, name)| (name, if at < read { Memory::CPU } else { memory });
                let outputs: Vec<_> = names.iter().copied().enumerate().map(place).collect();
                // SAFETY: as below.
                unsafe { run_bound(&self.session, &options, &values, &outputs) }
            }
            // SAFETY: where the provider does not bear runs at the same time, the gate lets one through.
            None => unsafe { run(&self.session, &options, &values, names) },
        };
        match done {
            Ok(values) => Ok(values.into_iter().map(|value| self.own(value)).collect()),
            Err(_) if cancel.is_called() => Err(cancelled()),
            Err(e) => Err(failed(e)),
        }
    }
}

fn invalid(e: &ort::Error) -> Error {
    Error::new(ErrorKind::ModelInvalid, first_line(e))
}

/// How a session is built.
struct How<'a> {
    runtime: &'a Runtime,
    provider: Provider,
    device: &'a Device,
    count: usize,
    threads: Threads,
    exact: bool,
}

impl How<'_> {
    fn build(&self, level: GraphOptimizationLevel, optimized: Option<&Path>) -> Result<SessionBuilder> {
        let build = || -> ort::Result<SessionBuilder> {
            let mut builder = ort::session::Session::builder(&self.runtime.environment)?
                .with_optimization_level(level)?
                .with_thread_manager(self.threads)?
                .with_intra_threads(self.count)?
                // Threads that spin between frames take the cores from the decoder and the encoder.
                .with_intra_op_spinning(false)?
                // One block planned for all of a run beside those of the first run: up to 40 percent more memory for
                // a few percent of the time.
                .with_memory_pattern(false)?
                // What fails comes back as an error, which is told once and in full.
                .with_log_level(ort::logging::LogLevel::Fatal)?;
            if let Some(path) = optimized {
                builder = builder.with_optimized_model_path(path)?;
            }
            Ok(builder)
        };
        let builder = build().map_err(|e| invalid(&e))?;
        match self.provider.dispatch(self.device, self.count, self.exact) {
            None => Ok(builder),
            Some(dispatch) => builder
                .with_execution_providers([dispatch.error_on_failure()])
                .map_err(|e| self.unusable(&first_line(&e))),
        }
    }

    /// The library has the provider, and that does not start: what is missing is named.
    fn unusable(&self, why: &str) -> Error {
        let name = self.provider.name();
        let mut text = format!("execution-provider={name} cannot be used: {why}");
        // The runtime may not say which file it is about.
        let file = format!("libonnxruntime_providers_{name}.so");
        if let Some(library) =
            self.runtime.path.parent().map(|f| f.join(&file)).filter(|_| !why.contains(&file))
        {
            // SAFETY: it is the library that the runtime has just tried to open itself.
            match unsafe { libloading::Library::new(&library) } {
                Ok(library) => std::mem::forget(library),
                Err(e) => text += &format!(" ({})", super::version::cause(&e)),
            }
        }
        text += &remedy(self.provider, &text, super::devices(self.runtime, self.provider).err());
        text += &format!("; `bgremove doctor` tells more. (ONNX Runtime: {})", self.runtime.path.display());
        Error::new(ErrorKind::Runtime, text)
    }

    /// Loads a file with its graph optimised; what comes of that is kept on disk for the next time.
    fn open_cached(&self, contents: &Contents<'_>) -> Result<ort::session::Session> {
        let all = |optimized: Option<&Path>| self.build(GraphOptimizationLevel::All, optimized);
        let bytes: &[u8] = &contents.bytes;
        let sum = contents.sha256.as_deref();
        let Some(slot) = sum.and_then(|sum| cache::slot(self.runtime, bytes.len() as u64, sum)) else {
            return all(None)?.commit_from_memory(bytes).map_err(|e| invalid(&e));
        };
        if let Some(kept) = slot.sound() {
            match self.build(GraphOptimizationLevel::Disable, None)?.commit_from_file(kept) {
                Ok(session) => return Ok(session),
                Err(_) => slot.discard(),
            }
        }
        let Some(draft) = slot.draft() else {
            return all(None)?.commit_from_memory(bytes).map_err(|e| invalid(&e));
        };
        match all(Some(draft.path()))?.commit_from_memory(bytes) {
            Ok(session) => {
                slot.keep(draft);
                Ok(session)
            }
            // The folder may be full or not writable: the network itself may still be good.
            Err(_) => {
                slot.discard();
                all(None)?.commit_from_memory(bytes).map_err(|e| invalid(&e))
            }
        }
    }
}

/// What helps where a provider does not start. `driver`: what is wrong with the GPU's, if anything is.
fn remedy(provider: Provider, why: &str, driver: Option<String>) -> String {
    let tensorrt =
        provider == Provider::TensorRt && ["nvinfer", "nvonnxparser"].iter().any(|n| why.contains(n));
    let library = match provider.folder() {
        Some(folder) if tensorrt => {
            format!(
                ". `make {folder}` does not bring TensorRT 10: install NVIDIA's own where the system's loader finds it"
            )
        }
        // Its libraries are there, and want the driver.
        Some(_) if driver.is_some() => String::new(),
        Some(folder) => format!(". `make {folder}` installs its libraries anew"),
        None => String::new(),
    };
    driver.map_or_else(String::new, |driver| format!("; {driver}")) + &library
}

impl Port {
    fn of(name: &str, dtype: &ValueType) -> Self {
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

fn view<'a>(name: &str, value: &'a DynValue) -> Result<View<'a>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that remembers: `out` is `in` and what was before, and so is what it remembers.
    fn sums() -> Vec<u8> {
        fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
            assert!(value.len() < 1 << 14);
            let length = [value.len() as u8 | 0x80, (value.len() >> 7) as u8];
            [&[field << 3 | 2][..], &length, value].concat()
        }
        let node = |op: &[u8], from: &[&[u8]], to: &[u8]| {
            let from: Vec<u8> = from.iter().flat_map(|name| bytes(1, name)).collect();
            bytes(1, &[from, bytes(2, to), bytes(4, op)].concat())
        };
        // A value of float32 with one open dimension.
        let port = |name: &[u8]| {
            let shape = bytes(2, &bytes(1, &bytes(2, b"n")));
            [bytes(1, name), bytes(2, &bytes(1, &[vec![8, 1], shape].concat()))].concat()
        };
        let graph = [
            node(b"Add", &[b"in", b"before"], b"out"),
            node(b"Identity", &[b"out"], b"after"),
            bytes(2, b"g"),
            bytes(11, &port(b"in")),
            bytes(11, &port(b"before")),
            bytes(12, &port(b"out")),
            bytes(12, &port(b"after")),
        ];
        // IR 8, operators of version 13.
        [vec![8, 8], bytes(7, &graph.concat()), bytes(8, &[bytes(1, b""), vec![16, 13]].concat())].concat()
    }

    /// What bound runs give on the CPU, where values are left in the same memory, by the code that leaves them on a GPU.
    #[test]
    fn what_is_bound_gives_what_is_not() {
        let (runtime, network) = (crate::runtime::open(None).unwrap(), sums());
        let load = || {
            let source = ModelSource::Memory(&network);
            Session::load(runtime, source, (Provider::Cpu, ""), 1, false, false).unwrap()
        };
        let (plain, mut bound) = (load(), load());
        bound.memory = Some(Memory::CPU);
        let runs = |session: &Session| {
            let mut state = Value::zeros(Element::F32, &[2]).unwrap();
            let mut given = Vec::new();
            for frame in [[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]] {
                let inputs = [("in", &[2][..], Input::F32(&frame))];
                let mut states = [("before", "after", &mut state)];
                let read = |views: &[View<'_>]| Ok((views[0].shape.clone(), views[0].data.to_vec()));
                given.push(session.run(&inputs, &mut states, &["out"], read).unwrap());
            }
            // What is remembered can be asked for as well, and a run that fails leaves it as it was.
            let both = |views: &[View<'_>]| Ok((views.len() as i64, views[1].data.to_vec()));
            let mut states = [("before", "after", &mut state)];
            let last = [("in", &[2][..], Input::F32(&[0.0, 0.0]))];
            let (n, after) = session.run(&last, &mut states, &["out", "after"], both).unwrap();
            let wrong = [("nothing", &[2][..], Input::F32(&[0.0, 0.0]))];
            assert!(session.run(&wrong, &mut states, &["out"], |_| Ok(())).is_err());
            let again = session.run(&last, &mut states, &["out"], |v| Ok(v[0].data.to_vec())).unwrap();
            assert_eq!(after, again);
            given.push((vec![n], after));
            given
        };
        let expected = runs(&plain);
        assert_eq!(expected[2], (vec![2], vec![111.0, 222.0]));
        assert_eq!(runs(&bound), expected);
        // A name that the network does not have is an error, and no crash.
        assert!(bound.run(&[], &mut [], &["no"], |_| Ok(())).is_err());
    }

    #[test]
    fn what_helps_is_what_is_missing() {
        let driver = || Some("NVIDIA's driver is not there".to_string());
        let no_driver = remedy(Provider::Cuda, "libcuda.so.1: cannot open", driver());
        assert!(no_driver.contains("driver is not there") && !no_driver.contains("make"), "{no_driver}");
        let no_library = remedy(Provider::Cuda, "libcublas.so.13: cannot open", None);
        assert!(no_library.contains("make runtime-cuda` installs"), "{no_library}");
        let no_tensorrt = remedy(Provider::TensorRt, "libnvinfer.so.10: cannot open", driver());
        assert!(no_tensorrt.contains("does not bring TensorRT"), "{no_tensorrt}");
        assert_eq!(remedy(Provider::CoreMl, "it fails", None), "");
    }
}
