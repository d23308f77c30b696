//! The plugin as GStreamer's documentation wants it: what its `gst-hotdoc-plugins-scanner` writes into
//! `gst_plugins_cache.json`, which Debian does not package.

use glib::prelude::*;
use gst::prelude::*;
use serde_json::{Map, Value, json};

/// The whole file.
pub fn json() -> Result<String, String> {
    gst::init().map_err(|e| format!("GStreamer does not start: {e}"))?;
    gstbgremove::plugin_register_static().map_err(|e| format!("the plugin: {e}"))?;
    let registry = gst::Registry::get();
    let plugin = registry.find_plugin("bgremove").ok_or("the plugin is not registered")?;
    let mut elements = Map::new();
    let mut types = Map::new();
    for feature in registry.features_by_plugin("bgremove") {
        let Ok(factory) = feature.downcast::<gst::ElementFactory>() else { continue };
        let element = factory.create().build().map_err(|e| format!("{}: {e}", factory.name()))?;
        elements.insert(factory.name().to_string(), self::element(&factory, &element, &mut types));
    }
    let page = json!({ "bgremove": {
        "description": plugin.description().as_str(), "elements": elements, "filename": "gstbgremove",
        "license": plugin.license().as_str(), "other-types": types, "package": plugin.package().as_str(), "source": plugin.source().as_str(),
        "tracers": {}, "url": plugin.origin().as_str(),
    }});
    Ok(format!("{page:#}\n"))
}

fn element(factory: &gst::ElementFactory, element: &gst::Element, types: &mut Map<String, Value>) -> Value {
    let own = element.type_();
    let mut hierarchy = vec![own.name()];
    hierarchy.extend(std::iter::successors(own.parent(), |t| t.parent()).map(|t| t.name()));
    let pads: Map<String, Value> = factory
        .static_pad_templates()
        .iter()
        .map(|t| {
            let nick = |v: &dyn std::fmt::Debug| format!("{v:?}").to_lowercase();
            let (direction, presence) = (nick(&t.direction()), nick(&t.presence()));
            let about = json!({ "caps": caps(&t.caps()), "direction": direction, "presence": presence });
            (t.name_template().to_string(), about)
        })
        .collect();
    // What GStreamer's own classes have is documented there.
    let ours = |t: glib::Type| t.name().starts_with("GstBg") || t == own;
    let mut properties = Map::new();
    for spec in element.list_properties().iter().filter(|p| ours(p.owner_type())) {
        properties.insert(spec.name().to_string(), property(spec));
        if spec.value_type().is_a(glib::Type::ENUM) {
            types.insert(spec.value_type().name().to_string(), values(spec.value_type()));
        }
    }
    json!({
        "author": factory.metadata("author"), "description": factory.metadata("description"),
        "hierarchy": hierarchy, "klass": factory.metadata("klass"), "long-name": factory.metadata("long-name"),
        "pad-templates": pads, "properties": properties, "rank": rank(factory), "signals": {},
    })
}

fn rank(factory: &gst::ElementFactory) -> String {
    match factory.rank() {
        gst::Rank::NONE => "none".into(),
        gst::Rank::MARGINAL => "marginal".into(),
        gst::Rank::SECONDARY => "secondary".into(),
        gst::Rank::PRIMARY => "primary".into(),
        other => i32::from(other).to_string(),
    }
}

fn caps(caps: &gst::Caps) -> String {
    if caps.is_any() {
        return "ANY".into();
    }
    let mut text = String::new();
    for (structure, features) in caps.iter_with_features() {
        let memory = features.to_string();
        let memory = if memory == "memory:SystemMemory" { String::new() } else { format!("({memory})") };
        text += &format!("{}{memory}:\n", structure.name());
        for (name, value) in structure.iter() {
            let value = value.serialize().map(|s| s.to_string()).unwrap_or_default();
            text += &format!("{:>15}: {value}\n", name.as_str());
        }
    }
    text
}

fn property(spec: &glib::ParamSpec) -> Value {
    let flags = spec.flags();
    let has = |flag| flags.contains(flag);
    let default = spec.default_value();
    let default = if let Some((_, value)) = glib::EnumValue::from_value(default) {
        format!("{} ({})", value.nick(), value.value())
    } else if default.type_() == glib::Type::STRING {
        default.get::<Option<String>>().ok().flatten().unwrap_or_else(|| "NULL".into())
    } else if let Ok(value) = default.get::<f32>() {
        // Serialised as a double it would show the digits that a float does not have.
        value.to_string()
    } else if default.get::<Option<gst::Structure>>().is_ok_and(|s| s.is_none()) {
        "NULL".into()
    } else {
        default.serialize().map(|s| s.to_string()).unwrap_or_default()
    };
    let mutable = if has(gst::PARAM_FLAG_MUTABLE_PLAYING) {
        "playing"
    } else if has(gst::PARAM_FLAG_MUTABLE_PAUSED) {
        "paused"
    } else if has(gst::PARAM_FLAG_MUTABLE_READY) {
        "ready"
    } else {
        "null"
    };
    let mut about = json!({
        "blurb": spec.blurb(), "conditionally-available": has(gst::PARAM_FLAG_CONDITIONALLY_AVAILABLE),
        "construct": has(glib::ParamFlags::CONSTRUCT), "construct-only": has(glib::ParamFlags::CONSTRUCT_ONLY),
        "controllable": has(gst::PARAM_FLAG_CONTROLLABLE), "default": default, "mutable": mutable,
        "readable": has(glib::ParamFlags::READABLE), "type": spec.value_type().name(),
        "writable": has(glib::ParamFlags::WRITABLE),
    });
    if let Some((least, most)) = range(spec) {
        about["min"] = least.into();
        about["max"] = most.into();
    }
    about
}

fn range(spec: &glib::ParamSpec) -> Option<(String, String)> {
    macro_rules! of {
        ($($kind:ty),*) => {
            $(if let Some(s) = spec.downcast_ref::<$kind>() {
                return Some((s.minimum().to_string(), s.maximum().to_string()));
            })*
        };
    }
    of!(
        glib::ParamSpecInt,
        glib::ParamSpecUInt,
        glib::ParamSpecInt64,
        glib::ParamSpecUInt64,
        glib::ParamSpecFloat,
        glib::ParamSpecDouble
    );
    None
}

fn values(kind: glib::Type) -> Value {
    let list: Vec<Value> = glib::EnumClass::with_type(kind)
        .iter()
        .flat_map(|c| c.values().to_vec())
        .map(|v| json!({ "desc": v.name(), "name": v.nick(), "value": v.value().to_string() }))
        .collect();
    json!({ "kind": "enum", "values": list })
}
