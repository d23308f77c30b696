//! The GPUs that Vulkan sees, which is how WebGPU reaches them on Linux.

use ash::vk;

/// One of them. Their order is the loader's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// As its driver calls it.
    pub name: String,
    pub kind: AdapterKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A card of its own.
    Discrete,
    /// Part of the processor.
    Integrated,
    /// A program that computes on the CPU.
    Software,
    Other,
}

impl From<vk::PhysicalDeviceType> for AdapterKind {
    fn from(kind: vk::PhysicalDeviceType) -> Self {
        match kind {
            vk::PhysicalDeviceType::DISCRETE_GPU => AdapterKind::Discrete,
            vk::PhysicalDeviceType::INTEGRATED_GPU => AdapterKind::Integrated,
            vk::PhysicalDeviceType::CPU => AdapterKind::Software,
            _ => AdapterKind::Other,
        }
    }
}

impl Adapter {
    pub fn is_software(&self) -> bool {
        self.kind == AdapterKind::Software
    }
}

/// Asks the Vulkan loader. Each driver that it knows of is opened for it.
///
/// # Errors
/// What is missing, and how to have it.
pub fn adapters() -> Result<Vec<Adapter>, String> {
    // SAFETY: the library is the system's Vulkan loader, whose initialisers any Vulkan program runs.
    let entry = unsafe { ash::Entry::load() }.map_err(|e| {
        format!("the Vulkan loader does not open ({e}); on Debian: apt-get install libvulkan1")
    })?;
    let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
    let create = vk::InstanceCreateInfo::default().application_info(&application);
    // SAFETY: what the structures point to lives to the end of this function.
    let instance = unsafe { entry.create_instance(&create, None) }.map_err(|e| match e {
        vk::Result::ERROR_INCOMPATIBLE_DRIVER => NO_DRIVER.to_string(),
        e => format!("Vulkan does not start: {e}"),
    })?;
    // SAFETY: the instance is whole, and let go once, after its last use.
    let devices = unsafe { instance.enumerate_physical_devices() };
    let list = devices.map(|devices| {
        let of = |device| {
            // SAFETY: the device is of this instance.
            let properties = unsafe { instance.get_physical_device_properties(device) };
            let name = properties.device_name_as_c_str().map(|n| n.to_string_lossy().into_owned());
            Adapter { name: name.unwrap_or_default(), kind: properties.device_type.into() }
        };
        devices.into_iter().map(of).collect::<Vec<_>>()
    });
    // SAFETY: as above.
    unsafe { instance.destroy_instance(None) };
    match list {
        Ok(list) if list.is_empty() => Err(NO_DRIVER.to_string()),
        Ok(list) => Ok(list),
        Err(e) => Err(format!("the Vulkan driver gives no list of devices: {e}")),
    }
}

const NO_DRIVER: &str = "Vulkan finds no driver of a GPU. Install the GPU's (on Debian mesa-vulkan-drivers for AMD and \
                         Intel, NVIDIA's own for theirs), and look at VK_DRIVER_FILES and VK_ICD_FILENAMES if they are set";
