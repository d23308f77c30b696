//! What a network can run on.

use super::run::Memory;
use ort::ep::{
    self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProvider as _, ExecutionProviderDispatch,
};
use std::path::PathBuf;

/// What a network runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    Cpu,
    /// Intel's OpenVINO, on the CPU unless another device is chosen.
    OpenVino,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT, which builds an engine for minutes at the first start.
    TensorRt,
    /// Any maker's GPU: through Vulkan on Linux.
    WebGpu,
    /// AMD's MIGraphX.
    MiGraphX,
    /// Apple's Core ML.
    CoreMl,
    /// Microsoft's DirectML.
    DirectMl,
}

/// A device of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// For people; empty where the provider does not say.
    pub name: String,
    /// A program that computes on the CPU takes the place of a GPU.
    pub software: bool,
    pub(super) pick: Pick,
}

/// How a provider is told which device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Pick {
    /// Not at all.
    #[default]
    Own,
    /// By its number.
    Index(i32),
    /// By its kind, as OpenVINO does: `CPU`, `GPU`, `GPU.1`, `NPU`.
    Kind(String),
    /// By what is wanted of it, as WebGPU does.
    Power(&'static str),
}

/// Where a network is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// `None` for the fastest that is there.
    pub provider: Option<Provider>,
    /// A number or a name of one of the provider's devices; empty for its own choice, as it has to be where no provider
    /// is named.
    pub device: String,
}

impl From<Provider> for Target {
    fn from(provider: Provider) -> Self {
        Self { provider: Some(provider), device: String::new() }
    }
}

/// The folders below [`data_folder`](super::data_folder) that `tools/install_runtime.sh` fills for them.
pub(super) const OPENVINO: &str = "runtime-openvino";
pub(super) const WEBGPU: &str = "runtime-webgpu";
pub(super) const CUDA: &str = "runtime-cuda";

impl Provider {
    /// Length of a network file up to which a run takes about a millisecond.
    pub(crate) const SMALL: u64 = 2_000_000;

    /// All there are.
    pub const ALL: [Provider; 8] = [
        Provider::Cpu,
        Provider::OpenVino,
        Provider::Cuda,
        Provider::TensorRt,
        Provider::WebGpu,
        Provider::MiGraphX,
        Provider::CoreMl,
        Provider::DirectMl,
    ];

    /// The name as the element's property has it.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::OpenVino => "openvino",
            Provider::Cuda => "cuda",
            Provider::TensorRt => "tensorrt",
            Provider::WebGpu => "webgpu",
            Provider::MiGraphX => "migraphx",
            Provider::CoreMl => "coreml",
            Provider::DirectMl => "directml",
        }
    }

    /// The folder below [`data_folder`](super::data_folder) where a library that has it is installed, which is also the
    /// target of `make` that does it; `None` where nothing does.
    pub fn folder(self) -> Option<&'static str> {
        match self {
            Provider::OpenVino => Some(OPENVINO),
            Provider::WebGpu => Some(WEBGPU),
            Provider::Cuda | Provider::TensorRt => Some(CUDA),
            Provider::Cpu | Provider::MiGraphX | Provider::CoreMl | Provider::DirectMl => None,
        }
    }

    /// Whether the opened library has it. The hardware may still be missing.
    pub fn is_available(self) -> bool {
        let has = match self {
            Provider::Cpu => Ok(true),
            Provider::OpenVino => ep::OpenVINO::is_available(),
            Provider::Cuda => ep::CUDA::is_available(),
            Provider::TensorRt => ep::TensorRT::is_available(),
            Provider::WebGpu => ep::WebGPU::is_available(),
            Provider::MiGraphX => ep::MIGraphX::is_available(),
            Provider::CoreMl => ep::CoreML::is_available(),
            Provider::DirectMl => ep::DirectML::is_available(),
        };
        has.unwrap_or(false)
    }

    /// The providers that `auto` may take for a network file of this length, in the order that is usual until they are
    /// measured; the last one is there in every library.
    ///
    /// Small networks stay on the CPU: they are no faster elsewhere and start much faster there.
    pub fn automatic(length: u64) -> impl Iterator<Item = Provider> {
        // The makers' own first. TensorRT is for those who ask for it: its first start takes minutes.
        let gpus =
            [Provider::Cuda, Provider::MiGraphX, Provider::CoreMl, Provider::DirectMl, Provider::WebGpu];
        gpus.into_iter()
            .chain([Provider::OpenVino])
            .filter(move |p| length > Self::SMALL && p.is_available())
            .chain([Provider::Cpu])
    }

    /// How many runs of one session it takes at a time; `None` for any number.
    ///
    /// OpenVINO queues what comes while its streams are busy, and nothing calls a run back from that queue. TensorRT
    /// locks its context for a run, which cannot be called off either. Of CUDA crashes have been reported (ort's
    /// issue 348) where two threads ran one session. The others have one queue of work for their device.
    pub(super) fn at_once(self, threads: usize) -> Option<usize> {
        match self {
            Provider::Cpu => None,
            Provider::OpenVino => Some(streams(threads)),
            _ => Some(1),
        }
    }

    /// The memory that it computes in, where that is not the machine's own and a value can be left there.
    pub(super) fn memory(self, device: &Device) -> Option<Memory> {
        let index = match device.pick {
            Pick::Index(n) => n,
            _ => 0,
        };
        match self {
            Provider::Cuda | Provider::TensorRt => Some(Memory("Cuda", index)),
            Provider::MiGraphX => Some(Memory("Hip", index)),
            Provider::DirectMl => Some(Memory("DML", index)),
            Provider::WebGpu => Some(Memory("WebGPU_Buffer", 0)),
            Provider::Cpu | Provider::OpenVino | Provider::CoreMl => None,
        }
    }

    /// Whether its sessions are made one after another: making several at once on one device has crashed (ONNX
    /// Runtime's issue 26610).
    pub(super) fn loads_alone(self) -> bool {
        !matches!(self, Provider::Cpu | Provider::OpenVino)
    }

    /// How the session is told; `None` for the CPU, which is always there.
    pub(super) fn dispatch(
        self,
        device: &Device,
        threads: usize,
        exact: bool,
    ) -> Option<ExecutionProviderDispatch> {
        let index = match device.pick {
            Pick::Index(n) => n,
            _ => 0,
        };
        match self {
            Provider::Cpu => None,
            Provider::Cuda => Some(ep::CUDA::default().with_device_id(index).build()),
            Provider::TensorRt => Some(ep::TensorRT::default().with_device_id(index).build()),
            Provider::MiGraphX => Some(ep::MIGraphX::default().with_device_id(index).build()),
            Provider::DirectMl => Some(ep::DirectML::default().with_device_id(index).build()),
            Provider::CoreMl => Some(ep::CoreML::default().build()),
            Provider::WebGpu => {
                let webgpu = ep::WebGPU::default();
                Some(match device.pick {
                    Pick::Power(preference) => {
                        webgpu.with_arbitrary_config("powerPreference", preference).build()
                    }
                    _ => webgpu.build(),
                })
            }
            Provider::OpenVino => {
                let kind = match &device.pick {
                    Pick::Kind(kind) => kind.as_str(),
                    _ => "CPU",
                };
                let mut openvino = ep::OpenVINO::default().with_device_type(kind);
                if let Some(folder) = cache_folder() {
                    openvino = openvino.with_cache_dir(folder.join("openvino").display());
                }
                if kind != "CPU" {
                    return Some(openvino.build());
                }
                // Of all streams together.
                openvino = openvino
                    .with_num_threads(threads * streams(threads))
                    .with_num_streams(streams(threads) as u8);
                // bfloat16 where the processor has it: several times faster, and the matte is the same
                // to less than one step of 8 bits on average.
                // Not where the caller stretches the matte's range, and the rounding with it: U²-Net-p was
                // 2.5 of 255 away, and is the same to 0.001 in float32.
                let precision = if has_bfloat16() && !exact { "bf16" } else { "f32" };
                let config = format!(r#"{{"CPU":{{"INFERENCE_PRECISION_HINT":"{precision}"}}}}"#);
                Some(openvino.with_arbitrary_config("load_config", config).build())
            }
        }
    }
}

/// How many runs of so many threads OpenVINO does side by side: as many as there are cores for.
fn streams(threads: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    (cores / threads.max(1)).clamp(1, 8)
}

fn has_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// `$XDG_CACHE_HOME/bgremove`, made if need be.
pub fn cache_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .unwrap_or_else(|| glib::home_dir().join(".cache"))
        .join("bgremove");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder)
}
