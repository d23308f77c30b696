//! What each input and output of a network is taken for, and why, for people.

use super::spec::no_matte;
use super::{Hints, Signature, Spec};
use crate::runtime::Port;

impl Spec {
    /// What each input and each output is to bgremove, and why, in their order: of the file, and of the decoder.
    pub fn explain(
        &self,
        network: Signature<'_>,
        decoder: Option<Signature<'_>>,
        hints: &Hints,
    ) -> Vec<(Vec<String>, Vec<String>)> {
        let picture = |port: &Port| {
            let how = if hints.input.is_some() { "named by `input`" } else { "the first that can be one" };
            (port.name == self.input).then(|| format!("the picture ({how})"))
        };
        let input = |port: &Port| {
            let state = self.states.iter().find(|(s, _)| s.name == port.name);
            let remembered =
                state.map(|(_, out)| format!("what is remembered of the frame before: '{out}' of its run"));
            let linked = self.links.iter().find(|(_, to)| *to == port.name);
            let linked = linked.map(|(from, _)| format!("'{from}' of the first part"));
            let prompt = self.prompt.as_ref().and_then(|p| p.role(&port.name)).map(str::to_string);
            remembered.or(linked).or(prompt).unwrap_or_else(|| "always 1".to_string())
        };
        let output = |port: &Port| {
            if port.name == self.output {
                let how = match hints.output {
                    Some(_) => "named by `output`",
                    None => "the first output that can be one",
                };
                return format!("taken as the mask ({how})");
            }
            if self.scores.as_ref() == Some(&port.name) {
                return "how good each mask is: the best is taken".to_string();
            }
            if let Some((state, _)) = self.states.iter().find(|(_, out)| *out == port.name) {
                return format!("remembered for the next frame, as '{}'", state.name);
            }
            let laid = decoder.is_none().then_some(self.order);
            match no_matte(port, laid, self.separate || self.class.is_some()) {
                Some(why) => format!("not read ({why})"),
                None => format!("not read (could be a mask, too: output={} takes it)", port.name),
            }
        };
        let all = |ports: &[Port], role: &dyn Fn(&Port) -> String| ports.iter().map(role).collect::<Vec<_>>();
        let Some(decoder) = decoder else {
            let inputs = all(network.inputs, &|p| picture(p).unwrap_or_else(|| input(p)));
            return vec![(inputs, all(network.outputs, &output))];
        };
        let given = |port: &Port| match self.links.iter().find(|(from, _)| *from == port.name) {
            Some((_, to)) => format!("goes to the decoder, as '{to}'"),
            None => "not read".to_string(),
        };
        vec![
            (all(network.inputs, &|p| picture(p).unwrap_or_default()), all(network.outputs, &given)),
            (all(decoder.inputs, &input), all(decoder.outputs, &output)),
        ]
    }
}
