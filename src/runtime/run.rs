//! One run of a session, beside others of the same session.
//!
//! ort takes `&mut` for a run, because some execution providers are not safe to run from two threads. The one that
//! computes on the CPU is: ONNX Runtime promises it for its `Run` (issue 114 there), and its arenas lock by
//! themselves. So the C function is called here, side by side on the CPU, and as many at a time as a [`Gate`] lets
//! through elsewhere.
//!
//! What a network gives comes back in the machine's own memory, unless it is bound: then it stays where the provider
//! computes, until it goes into the next run.

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{lock, wait};
use ort::AsPointer;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{RunOptions, SessionInputValue};
use ort::value::DynValue;
use std::collections::VecDeque;
use std::ffi::{CString, c_char};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, Mutex};

/// Runs a session and gives the outputs that are named, in their order.
///
/// # Safety
/// The session's execution provider bears runs at the same time, or there is no other run.
pub(super) unsafe fn run(
    session: &ort::session::Session,
    options: &RunOptions,
    inputs: &[(&str, SessionInputValue<'_>)],
    outputs: &[&str],
) -> ort::Result<Vec<DynValue>> {
    let input_names: Vec<CString> = inputs.iter().map(|(name, _)| named(name)).collect::<ort::Result<_>>()?;
    let output_names: Vec<CString> = outputs.iter().map(|name| named(name)).collect::<ort::Result<_>>()?;
    let texts = |names: &[CString]| -> Vec<*const c_char> { names.iter().map(|n| n.as_ptr()).collect() };
    let (input_texts, output_texts) = (texts(&input_names), texts(&output_names));
    let values: Vec<*const ort::sys::OrtValue> = inputs.iter().map(|(_, value)| value.ptr()).collect();
    let mut given = vec![ptr::null_mut::<ort::sys::OrtValue>(); outputs.len()];
    // SAFETY: all pointers are of objects that live to the end of this function, and each list is as long as is said:
    // `input_texts` and `values` have one entry for each of `inputs`, `output_texts` and `given` for each of
    // `outputs`. The function does not change the session, although it takes a pointer that would let it; that others
    // may run it at the same time is the caller's promise. A null in `given` has the runtime make the value.
    let status = unsafe {
        (ort::api().Run)(
            session.ptr().cast_mut(),
            options.ptr(),
            input_texts.as_ptr(),
            values.as_ptr(),
            values.len(),
            output_texts.as_ptr(),
            output_texts.len(),
            given.as_mut_ptr(),
        )
    };
    // Taken first: whatever happens from here on, what was given is let go.
    // SAFETY: each is null or a value that the runtime has made and that is ours now.
    let given: Vec<Option<DynValue>> =
        given.into_iter().map(|value| unsafe { own(session, value) }).collect();
    // SAFETY: the status comes from the runtime and is used once.
    unsafe { ort::Error::result_from_status(status) }?;
    given.into_iter().zip(outputs).map(|(value, name)| value.ok_or_else(|| none(name))).collect()
}

fn named(name: &str) -> ort::Result<CString> {
    CString::new(name).map_err(|_| ort::Error::new("there is a NUL in a name"))
}

fn none(name: &str) -> ort::Error {
    ort::Error::new(format!("the network gave nothing for the output '{name}'"))
}

/// # Safety
/// It is null, or a value that a run of this session has made and that nobody else owns.
unsafe fn own(session: &ort::session::Session, value: *mut ort::sys::OrtValue) -> Option<DynValue> {
    // SAFETY: as above. It holds on to the arena that its memory is of; the allocator that is named here is the session's own,
    // and who keeps the value keeps the session, too.
    NonNull::new(value).map(|v| unsafe { DynValue::from_ptr(v, Some(session.allocator())) })
}

/// A memory that a provider computes in, by the runtime's name for it, and the device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory(pub &'static str, pub i32);

impl Memory {
    pub const CPU: Memory = Memory("Cpu", 0);

    fn info(self) -> ort::Result<MemoryInfo<'static>> {
        MemoryInfo::new(AllocationDevice::new(self.0), self.1, AllocatorType::Device, MemoryType::Default)
    }
}

/// Lets go of what was bound, however a run ends.
struct Binding(NonNull<ort::sys::OrtIoBinding>);

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: it is ours, and let go once.
        unsafe { (ort::api().ReleaseIoBinding)(self.0.as_ptr()) };
    }
}

/// As [`run`]; each output is left in the memory that stands with it.
///
/// # Safety
/// As for [`run`].
pub(super) unsafe fn run_bound(
    session: &ort::session::Session,
    options: &RunOptions,
    inputs: &[(&str, SessionInputValue<'_>)],
    outputs: &[(&str, Memory)],
) -> ort::Result<Vec<DynValue>> {
    let api = ort::api();
    // SAFETY: each status comes from the runtime and is used once.
    let checked = |status| unsafe { ort::Error::result_from_status(status) };
    let mut binding = ptr::null_mut();
    // SAFETY: the session is whole, and not changed; see `run`.
    checked(unsafe { (api.CreateIoBinding)(session.ptr().cast_mut(), &mut binding) })?;
    let binding = Binding(NonNull::new(binding).ok_or_else(|| ort::Error::new("nothing can be bound"))?);
    for (name, value) in inputs {
        let name = named(name)?;
        // SAFETY: name and value live to the end of the call; the runtime keeps what it needs of them.
        checked(unsafe { (api.BindInput)(binding.0.as_ptr(), name.as_ptr(), value.ptr()) })?;
    }
    for (name, memory) in outputs {
        let (name, info) = (named(name)?, memory.info()?);
        // SAFETY: as above.
        checked(unsafe { (api.BindOutputToDevice)(binding.0.as_ptr(), name.as_ptr(), info.ptr()) })?;
    }
    // SAFETY: all three live to the end of the call. That others may run the session meanwhile is the caller's promise.
    checked(unsafe { (api.RunWithBinding)(session.ptr().cast_mut(), options.ptr(), binding.0.as_ptr()) })?;
    let (mut allocator, mut list, mut count) = (ptr::null_mut(), ptr::null_mut(), 0);
    // SAFETY: the runtime writes to the three, and the list is of its default allocator, to which it goes back.
    let given: Vec<Option<DynValue>> = unsafe {
        checked((api.GetAllocatorWithDefaultOptions)(&mut allocator))?;
        checked((api.GetBoundOutputValues)(binding.0.as_ptr(), allocator, &mut list, &mut count))?;
        if list.is_null() {
            return Err(ort::Error::new("the network gave nothing"));
        }
        let given = (0..count).map(|i| own(session, *list.add(i))).collect();
        checked((api.AllocatorFree)(allocator, list.cast()))?;
        given
    };
    // In the order in which they were bound.
    let mut given = given.into_iter();
    outputs.iter().map(|(name, _)| given.next().flatten().ok_or_else(|| none(name))).collect()
}

/// Lets a number of runs through at a time, in the order in which they came.
pub(super) struct Gate {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    free: usize,
    next: u64,
    waiting: VecDeque<u64>,
}

/// One of those that have been let through.
pub(super) struct Turn(Arc<Gate>);

impl Gate {
    pub fn new(at_once: usize) -> Arc<Self> {
        let queue = Queue { free: at_once.max(1), next: 0, waiting: VecDeque::new() };
        Arc::new(Self { queue: Mutex::new(queue), changed: Condvar::new() })
    }

    /// Waits for a turn, or for `cancel` to be called.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`](crate::error::ErrorKind).
    pub fn enter(self: &Arc<Self>, cancel: &Cancel) -> Result<Turn> {
        cancel.wakes(Some(Arc::clone(self)));
        let mut queue = lock(&self.queue);
        let ticket = queue.next;
        queue.next += 1;
        queue.waiting.push_back(ticket);
        // The gate's lock is held from looking at `cancel` until waiting, and `Cancel::call` takes it before it wakes:
        // no call is missed.
        while !cancel.is_called() && (queue.free == 0 || queue.waiting.front() != Some(&ticket)) {
            queue = wait(&self.changed, queue);
        }
        queue.waiting.retain(|t| *t != ticket);
        let turn = if cancel.is_called() {
            Err(cancelled())
        } else {
            queue.free -= 1;
            Ok(Turn(Arc::clone(self)))
        };
        drop(queue);
        // The next in the queue may have a turn, too.
        self.changed.notify_all();
        cancel.wakes(None);
        turn
    }

    /// Has all who wait look at their `Cancel` again.
    pub fn wake(&self) {
        drop(lock(&self.queue));
        self.changed.notify_all();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.0.queue).free += 1;
        self.0.changed.notify_all();
    }
}

/// Ends a run from another thread, or keeps it from beginning.
///
/// Providers look at it between two operators; one that runs a whole network as one operator ends with that.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<Call>>);

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancel({})", self.is_called())
    }
}

#[derive(Default)]
struct Call {
    called: bool,
    options: Option<Arc<RunOptions>>,
    /// Where the run waits for its turn.
    waits: Option<Arc<Gate>>,
}

impl Cancel {
    /// Ends the run that has this, and every later one.
    pub fn call(&self) {
        let mut call = lock(&self.0);
        call.called = true;
        if let Some(options) = &call.options {
            // It can only fail for want of a library, which a run has.
            let _ = options.terminate();
        }
        let waits = call.waits.clone();
        // Not under the lock: who waits at the gate holds the gate's and looks at this one.
        drop(call);
        if let Some(gate) = waits {
            gate.wake();
        }
    }

    /// Whom a call wakes.
    fn wakes(&self, gate: Option<Arc<Gate>>) {
        lock(&self.0).waits = gate;
    }

    /// Whether it has been called.
    pub fn is_called(&self) -> bool {
        lock(&self.0).called
    }

    pub(super) fn options(&self) -> Result<Arc<RunOptions>> {
        let mut call = lock(&self.0);
        if call.called {
            return Err(cancelled());
        }
        if call.options.is_none() {
            call.options = Some(Arc::new(RunOptions::new().map_err(failed)?));
        }
        call.options.clone().ok_or_else(cancelled)
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was cancelled")
}

/// The error of a run.
pub(super) fn failed(e: ort::Error) -> Error {
    Error::new(ErrorKind::Inference, first_line(&e))
}

/// The runtime's messages carry source positions before what they say, and call stacks after the first line.
pub(super) fn first_line(e: &impl fmt::Display) -> String {
    let text = e.to_string();
    let line = text.lines().next().unwrap_or_default().trim();
    // As in "…/provider_bridge_ort.cc:2043 … [ONNXRuntimeError] : 1 : FAIL : Failed to load library …".
    let said = line.rsplit_once("[ONNXRuntimeError] : ").and_then(|(_, said)| said.splitn(3, " : ").nth(2));
    said.filter(|s| !s.is_empty()).unwrap_or(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Waits until so many are in the queue.
    fn crowd(gate: &Gate, n: usize) {
        let start = Instant::now();
        while lock(&gate.queue).waiting.len() != n {
            assert!(start.elapsed() < Duration::from_secs(30), "they do not come");
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_waits_for_another_run_can_be_cancelled_and_loses_its_place() {
        let gate = Gate::new(1);
        let stuck = gate.enter(&Cancel::default()).unwrap();
        let (first, second) = (Cancel::default(), Cancel::default());
        std::thread::scope(|s| {
            let waits = s.spawn(|| gate.enter(&first).err().unwrap().kind);
            crowd(&gate, 1);
            let gets = s.spawn(|| drop(gate.enter(&second).unwrap()));
            crowd(&gate, 2);
            first.call();
            assert_eq!(waits.join().unwrap(), ErrorKind::Cancelled, "while the other one is still stuck");
            crowd(&gate, 1);
            drop(stuck);
            gets.join().unwrap();
        });
        assert_eq!(gate.enter(&first).err().unwrap().kind, ErrorKind::Cancelled, "and every later one");
        drop(gate.enter(&Cancel::default()).unwrap());
    }

    #[test]
    fn turns_go_in_the_order_of_coming_and_as_many_at_a_time_as_is_said() {
        let gate = Gate::new(2);
        let none = Cancel::default();
        let (one, two) = (gate.enter(&none).unwrap(), gate.enter(&none).unwrap());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|s| {
            for n in 0..4 {
                let (gate, order) = (&gate, &order);
                s.spawn(move || {
                    let turn = gate.enter(&Cancel::default()).unwrap();
                    order.lock().unwrap().push(n);
                    drop(turn);
                });
                crowd(gate, n + 1);
            }
            assert!(order.lock().unwrap().is_empty());
            drop(one);
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
        drop(two);
        assert_eq!(lock(&gate.queue).free, 2);
    }
}
