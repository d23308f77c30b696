//! Which of a provider's devices a network runs on.

use super::provider::{Device, Pick, Provider};
use super::{Runtime, cuda, vulkan};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::lock;
use std::sync::Mutex;
use vulkan::{Adapter, AdapterKind};

/// The names of the devices that a provider sees, in the order of their numbers. Empty where it does not tell.
///
/// # Errors
/// What is missing for it to see any.
pub fn devices(runtime: &Runtime, provider: Provider) -> std::result::Result<Vec<String>, String> {
    match provider {
        // Each kind has a library of its own beside the runtime.
        Provider::OpenVino => {
            let has = |kind: &&str| {
                let file = format!("libopenvino_intel_{}_plugin.so", kind.to_lowercase());
                *kind == "CPU" || runtime.path.parent().is_some_and(|folder| folder.join(file).exists())
            };
            Ok(["CPU", "GPU", "NPU"].into_iter().filter(has).map(String::from).collect())
        }
        Provider::Cuda | Provider::TensorRt => cuda::devices(),
        // Elsewhere it goes through the system's own graphics, which is always there.
        Provider::WebGpu if cfg!(target_os = "linux") => {
            Ok(vulkan::adapters()?.into_iter().map(|a| a.name).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// The device that `wanted` means: a number or a name (or a part of one), or the provider's own choice where it is empty.
///
/// # Errors
/// [`ErrorKind::Runtime`] when there is no such device, with those that there are.
pub(super) fn choose(provider: Provider, wanted: &str) -> Result<Device> {
    let refuse = |why: String| {
        let asked = if wanted.is_empty() { String::new() } else { format!(" device={wanted}") };
        Error::new(ErrorKind::Runtime, format!("execution-provider={}{asked}: {why}", provider.name()))
    };
    let unnamed = |index: &str| match index.parse() {
        Ok(n) => Ok(Device { name: index.to_string(), pick: Pick::Index(n), software: false }),
        Err(_) => Err(refuse("this provider's devices have numbers only, from 0 on".into())),
    };
    match provider {
        Provider::WebGpu if cfg!(target_os = "linux") => {
            let adapters = vulkan::adapters().map_err(refuse)?;
            let device = adapter(&adapters, wanted).map_err(refuse)?;
            free(&device).map_err(refuse)?;
            Ok(device)
        }
        // What is wrong with the driver, the provider finds out by itself.
        Provider::Cuda | Provider::TensorRt => match (cuda::devices(), wanted) {
            (Ok(names), wanted) => {
                let n = number(&names, wanted).map_err(refuse)?;
                Ok(Device { name: names[n].clone(), pick: Pick::Index(n as i32), software: false })
            }
            (Err(_), "") => Ok(Device::default()),
            (Err(why), _) => Err(refuse(why)),
        },
        Provider::OpenVino => {
            let kind = if wanted.is_empty() { "CPU".to_string() } else { wanted.to_ascii_uppercase() };
            if !["CPU", "GPU", "NPU"].contains(&kind.split('.').next().unwrap_or_default()) {
                return Err(refuse("OpenVINO's devices are CPU, GPU (GPU.0, GPU.1, …) and NPU".into()));
            }
            Ok(Device { name: kind.clone(), pick: Pick::Kind(kind), software: false })
        }
        _ if wanted.is_empty() => Ok(Device::default()),
        Provider::MiGraphX | Provider::DirectMl => unnamed(wanted),
        _ => Err(refuse("this provider has no devices to choose from".into())),
    }
}

/// The number of the device that is meant.
fn number(names: &[String], wanted: &str) -> std::result::Result<usize, String> {
    let listed = || names.iter().enumerate().map(|(i, n)| format!("\n  {i}: {n}")).collect::<String>();
    if names.is_empty() {
        return Err("there is no device".into());
    }
    if wanted.is_empty() {
        return Ok(0);
    }
    if let Ok(n) = wanted.parse::<usize>() {
        return if n < names.len() {
            Ok(n)
        } else {
            Err(format!("there is no such device, but{}", listed()))
        };
    }
    let exact: Vec<usize> = (0..names.len()).filter(|i| names[*i].eq_ignore_ascii_case(wanted)).collect();
    let part = |i: &usize| names[*i].to_lowercase().contains(&wanted.to_lowercase());
    let found = if exact.is_empty() { (0..names.len()).filter(part).collect() } else { exact };
    match found[..] {
        [one] => Ok(one),
        [] => Err(format!("there is no such device, but{}", listed())),
        _ => Err(format!("more than one device is called so; take a number:{}", listed())),
    }
}

/// WebGPU takes no adapter by number: it takes the first of the kind that it is told to prefer. So one is had where that
/// makes it the first, and an error is given where it does not.
fn adapter(adapters: &[Adapter], wanted: &str) -> std::result::Result<Device, String> {
    let best = |order: [AdapterKind; 2]| {
        // After the two that are asked for come the others, and software goes before what is of no known kind.
        let rank = |a: &Adapter| match order.iter().position(|k| *k == a.kind) {
            Some(at) => at,
            None if a.is_software() => 2,
            None => 3,
        };
        let first = adapters.iter().map(rank).min().unwrap_or_default();
        (0..adapters.len()).filter(|i| rank(&adapters[*i]) == first).collect::<Vec<_>>()
    };
    let preferences = [
        ("high-performance", [AdapterKind::Discrete, AdapterKind::Integrated]),
        ("low-power", [AdapterKind::Integrated, AdapterKind::Discrete]),
    ];
    let device = |power, equals: &[usize]| Device {
        name: equals.iter().map(|i| adapters[*i].name.as_str()).collect::<Vec<_>>().join(" or "),
        software: equals.iter().all(|i| adapters[*i].is_software()),
        pick: Pick::Power(power),
    };
    if wanted.is_empty() {
        let (power, order) = preferences[0];
        return Ok(device(power, &best(order)));
    }
    let names: Vec<String> = adapters.iter().map(|a| a.name.clone()).collect();
    let n = number(&names, wanted)?;
    for (power, order) in preferences {
        if best(order) == [n] {
            return Ok(device(power, &[n]));
        }
    }
    Err(format!(
        "WebGPU cannot be told to take {} where other adapters are there, too: it takes the best one, or the one of least \
         power. Hide the others: set VK_DRIVER_FILES to the one driver's .json file, or take the maker's own provider",
        names[n]
    ))
}

/// The adapter that this process runs WebGPU on: it keeps to one, whatever it is told later.
static TAKEN: Mutex<Option<Device>> = Mutex::new(None);

fn free(device: &Device) -> std::result::Result<(), String> {
    match &*lock(&TAKEN) {
        Some(other) if other.name != device.name => Err(format!(
            "this process runs WebGPU on {} already, and {} takes another process",
            other.name, device.name
        )),
        _ => Ok(()),
    }
}

/// A network has been loaded there.
pub(super) fn settle(provider: Provider, device: &Device) {
    if provider == Provider::WebGpu {
        lock(&TAKEN).get_or_insert_with(|| device.clone());
    }
}

/// Why a provider is not worth loading anything for: all that it would run on stands in for a GPU.
pub fn only_software(provider: Provider) -> Option<String> {
    choose(provider, "").ok().filter(|device| device.software).map(|device| {
        format!("{} ({}) only stands in for a GPU and is slower than the CPU", provider.name(), device.name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kinds: &[(&str, AdapterKind)]) -> Vec<Adapter> {
        kinds.iter().map(|(name, kind)| Adapter { name: name.to_string(), kind: *kind }).collect()
    }

    #[test]
    fn the_adapter_that_is_meant_is_the_one_that_webgpu_takes() {
        let (big, small, soft) = (
            ("Radeon RX 7600", AdapterKind::Discrete),
            ("Radeon 780M", AdapterKind::Integrated),
            ("SwiftShader Device", AdapterKind::Software),
        );
        let taken = |of: &[(&str, AdapterKind)], wanted: &str| {
            let d = adapter(&list(of), wanted)?;
            let Pick::Power(power) = d.pick else { panic!("{d:?}") };
            Ok((d.name, power, d.software))
        };
        let has = |name: &str, power, software| Ok::<_, String>((name.to_string(), power, software));
        let all = [soft, small, big];
        assert_eq!(taken(&all, ""), has(big.0, "high-performance", false));
        assert_eq!(taken(&all, "2"), has(big.0, "high-performance", false));
        assert_eq!(taken(&all, "780m"), has(small.0, "low-power", false));
        assert!(taken(&all, "swift").unwrap_err().contains("VK_DRIVER_FILES"));
        assert_eq!(taken(&[soft], "0"), has(soft.0, "high-performance", true));
        assert_eq!(taken(&[small, soft], ""), has(small.0, "high-performance", false));
        // Of two alike nobody knows which one it is.
        assert_eq!(taken(&[big, big], "").unwrap().0, "Radeon RX 7600 or Radeon RX 7600");
        assert!(taken(&[big, big], "1").is_err());
        for (wanted, word) in
            [("3", "0: SwiftShader"), ("geforce", "2: Radeon RX"), ("radeon", "more than one")]
        {
            assert!(taken(&all, wanted).unwrap_err().contains(word), "{wanted}");
        }
    }

    #[test]
    fn what_a_provider_does_not_have_cannot_be_chosen() {
        let refused = |provider, wanted| choose(provider, wanted).unwrap_err().text;
        assert!(refused(Provider::Cpu, "1").contains("no devices to choose"));
        assert!(refused(Provider::OpenVino, "1").contains("NPU"));
        assert!(refused(Provider::MiGraphX, "Radeon").contains("numbers only"));
        assert_eq!(choose(Provider::OpenVino, "gpu.1").unwrap().name, "GPU.1");
        assert_eq!(choose(Provider::OpenVino, "").unwrap().name, "CPU");
        assert_eq!(choose(Provider::Cpu, "").unwrap(), Device::default());
        assert_eq!(choose(Provider::DirectMl, "1").unwrap().pick, Pick::Index(1));
    }
}
