//! A loaded network, and its runs.

use super::build::{Contents, How, ModelSource, invalid};
use super::exit::{self, Working};
use super::run::{Cancel, Gate, Memory, cancelled, failed, run, run_bound};
use super::tensor::{Input, LetGo, Port, Value, View, view};
use super::threads::Threads;
use super::{Device, Provider, Runtime, cuda, device, onnx};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;
use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynValue, TensorRef};
use std::borrow::Cow;
use std::fmt;
use std::io::Cursor;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, Once};

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

impl Session {
    /// Loads a network, for a provider that is named.
    ///
    /// `device`: as in [`Target`](super::Target). `threads`: threads of one run, 0 for as many as the machine has cores
    /// (small networks: one). `exact`: no bfloat16, also where it is faster. `low_priority`: other threads go first on
    /// a busy core, for streams that do not wait for the network.
    ///
    /// # Errors
    /// [`ErrorKind::ModelInvalid`] with the runtime's own words, and [`ErrorKind::Runtime`] when there is no such device.
    pub fn load(
        runtime: &Runtime,
        source: ModelSource<'_>,
        (provider, device): (Provider, &str),
        threads: u32,
        exact: bool,
        low_priority: bool,
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
        let how = How {
            runtime,
            provider,
            device: &device,
            count: threads,
            threads: Threads { low_priority },
            exact,
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Element;

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
}
