//! `bgremove convert` as a user runs it; what it writes is read by decoders that are not its own.

mod behaviour;
mod canvas;
mod clips;
mod color;
mod formats;
mod inputs;
mod join;
mod layers;
mod media;
#[path = "../common/onnx.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod onnx;
mod parts;
mod pipes;
mod quick;
#[path = "../common/record.rs"]
mod record;
mod report;
mod short;
#[path = "../common/skip.rs"]
mod skip;
mod subjects;
