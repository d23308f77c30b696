//! One connection: a pipeline that puts the encoded frames into RTP packets, and `webrtcbin`, which sends them.
//!
//! All candidates are gathered before a description is handed out, so one question and one answer are enough.

use crate::{Error, Format, Stream};
use gst::glib;
use gst::prelude::*;
use gst_utils::ConsumptionLink;
use gst_webrtc::{WebRTCRTPTransceiver, WebRTCSDPType, WebRTCSessionDescription};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Number of the format in the packets where it is ours to choose.
const PAYLOAD: u32 = 96;
/// For gathering candidates; what is found by then has to do.
const GATHERING: Duration = Duration::from_secs(5);

/// After which a connection that nothing comes from is over: reports of what was received come every second or so, and
/// GStreamer 1.22 does not notice by itself that the other side is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// How peers find each other.
#[derive(Clone, Default)]
pub struct Network {
    /// Addresses of this machine to send from; none: all but the loopback's.
    pub addresses: Vec<String>,
    /// A server that tells how this machine is seen from outside, as `stun://host:port`.
    pub stun: Option<String>,
}

/// A connection, which ends when it is dropped.
pub struct Peer {
    pub pipeline: gst::Pipeline,
    webrtc: gst::Element,
    link: Arc<Mutex<Option<ConsumptionLink>>>,
    /// When something came from the other side; gathering and waiting for an answer are no silence.
    heard: Arc<Mutex<Instant>>,
    _watch: gst::bus::BusWatchGuard,
}

impl Peer {
    /// Answers an offer. `ended` is called, with the reason, when the connection is over.
    pub fn answer(
        offer: &str,
        stream: &Stream,
        network: &Network,
        ended: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(Self, String), Error> {
        let offer = gst_sdp::SDPMessage::parse_buffer(offer.as_bytes())?;
        let payload = payload_of(&offer, stream.format)
            .ok_or_else(|| format!("the offer has no video in {}", stream.format.name()))?;
        let peer = Self::new(payload, stream, network, ended)?;
        let offer = WebRTCSessionDescription::new(WebRTCSDPType::Offer, offer);
        peer.ask("set-remote-description", &[&offer])?;
        let answer = peer.description("create-answer", "answer")?;
        let text = peer.settle(answer)?;
        Ok((peer, text))
    }

    /// Makes an offer; the answer goes to `accept`.
    pub fn offer(
        stream: &Stream,
        network: &Network,
        ended: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(Self, String), Error> {
        let peer = Self::new(PAYLOAD, stream, network, ended)?;
        let transceiver = peer.transceiver()?;
        transceiver.set_property("direction", gst_webrtc::WebRTCRTPTransceiverDirection::Sendonly);
        transceiver.set_property("codec-preferences", stream.format.rtp_caps(PAYLOAD, true));
        let offer = peer.description("create-offer", "offer")?;
        let text = peer.settle(offer)?;
        // It would be held against the stream to the letter from now on, and the encoder picks a level of its own.
        transceiver.set_property("codec-preferences", None::<gst::Caps>);
        Ok((peer, text))
    }

    /// The answer to the offer.
    pub fn accept(&self, answer: &str) -> Result<(), Error> {
        let answer = gst_sdp::SDPMessage::parse_buffer(answer.as_bytes())?;
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, answer);
        *lock(&self.heard) = Instant::now();
        self.ask("set-remote-description", &[&answer]).map(drop)
    }

    fn new(
        payload: u32,
        stream: &Stream,
        network: &Network,
        ended: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        // Said in the caps, or webrtcbin promises another one, and browsers do not show what comes from this.
        let ssrc = glib::random_int();
        let line = format!(
            "appsrc name=frames format=time is-live=true ! {} pt={payload} ssrc={ssrc} ! {},ssrc=(uint){ssrc} ! webrtcbin name=webrtc bundle-policy=max-bundle",
            stream.format.payloader(),
            stream.format.rtp_caps(payload, false),
        );
        let pipeline = gst::parse::launch(&line)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let webrtc = pipeline.by_name("webrtc").ok_or("no webrtcbin")?;
        let frames = pipeline.by_name("frames").and_downcast::<gst_app::AppSrc>().ok_or("no appsrc")?;
        if let Some(stun) = &network.stun {
            webrtc.set_property("stun-server", stun);
        }
        let ice = webrtc.property::<gst_webrtc::WebRTCICE>("ice-agent");
        for address in &network.addresses {
            if !ice.emit_by_name::<bool>("add-local-ip-address", &[address]) {
                return Err(format!("{address} is not an address to send from").into());
            }
        }
        // Frames keep the times that they have in the source's pipeline.
        pipeline.use_clock(Some(&stream.clock));
        pipeline.set_start_time(gst::ClockTime::NONE);
        pipeline.set_base_time(stream.base_time);

        let ended = Arc::new(ended);
        let link = Arc::new(Mutex::new(None));
        webrtc.connect_notify(Some("connection-state"), {
            let (ended, link, source) = (ended.clone(), link.clone(), stream.frames.clone());
            move |webrtc, _| match webrtc.property("connection-state") {
                // Not before: the frames' format in full is known with the first one only, and what it says of H.264
                // is not to the letter what both sides agree upon.
                gst_webrtc::WebRTCPeerConnectionState::Connected => {
                    let mut link = lock(&link);
                    if link.is_none() {
                        *link = source.add_consumer(&frames).ok();
                    }
                }
                gst_webrtc::WebRTCPeerConnectionState::Failed => ended("the connection has failed"),
                gst_webrtc::WebRTCPeerConnectionState::Closed => ended("the other side has gone"),
                _ => {}
            }
        });
        let heard = Arc::new(Mutex::new(Instant::now()));
        pipeline.connect_deep_element_added({
            let heard = heard.clone();
            move |_, _, element| {
                let Some(pad) = element.static_pad("src") else { return };
                if element.factory().is_some_and(|f| f.name() == "nicesrc") {
                    let heard = heard.clone();
                    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
                        *lock(&heard) = Instant::now();
                        gst::PadProbeReturn::Ok
                    });
                }
            }
        });
        glib::timeout_add(Duration::from_secs(1), {
            let (pipeline, ended, heard) = (pipeline.downgrade(), ended.clone(), heard.clone());
            move || match pipeline.upgrade() {
                Some(_) if lock(&heard).elapsed() > SILENCE => {
                    ended("nothing has been heard of it");
                    glib::ControlFlow::Break
                }
                Some(_) => glib::ControlFlow::Continue,
                None => glib::ControlFlow::Break,
            }
        });
        let bus = pipeline.bus().ok_or("no bus")?;
        let recalculate = pipeline.downgrade();
        let watch = bus.add_watch(move |_, message| {
            match message.view() {
                gst::MessageView::Error(e) => {
                    ended(&format!("{} ({})", e.error(), e.debug().unwrap_or_default()))
                }
                gst::MessageView::Latency(_) => {
                    let _ = recalculate.upgrade().map(|p| p.recalculate_latency());
                }
                _ => {}
            }
            glib::ControlFlow::Continue
        })?;
        let peer = Self { pipeline, webrtc, link, heard, _watch: watch };
        // Packets that were lost on the way are sent again.
        peer.transceiver()?.set_property("do-nack", true);
        peer.pipeline.set_state(gst::State::Playing)?;
        Ok(peer)
    }

    fn transceiver(&self) -> Result<WebRTCRTPTransceiver, Error> {
        let found = self.webrtc.emit_by_name::<Option<WebRTCRTPTransceiver>>("get-transceiver", &[&0i32]);
        found.ok_or_else(|| "webrtcbin has no transceiver for the video".into())
    }

    /// Emits a signal that answers through a promise, and waits for that.
    fn ask(&self, signal: &str, arguments: &[&dyn ToValue]) -> Result<Option<gst::Structure>, Error> {
        let promise = gst::Promise::new();
        let mut arguments = arguments.to_vec();
        arguments.push(&promise);
        self.webrtc.emit_by_name::<()>(signal, &arguments);
        match promise.wait() {
            gst::PromiseResult::Replied => {}
            other => return Err(format!("{signal}: {other:?}").into()),
        }
        let reply = promise.get_reply().map(ToOwned::to_owned);
        match reply.as_ref().and_then(|r| r.get::<glib::Error>("error").ok()) {
            Some(error) => Err(format!("{signal}: {}", error.message()).into()),
            None => Ok(reply),
        }
    }

    fn description(&self, signal: &str, field: &str) -> Result<WebRTCSessionDescription, Error> {
        let reply = self.ask(signal, &[&None::<gst::Structure>])?.ok_or("an empty reply")?;
        Ok(reply.get(field)?)
    }

    /// Takes a description as our own, and gives its text once it holds the candidates.
    fn settle(&self, description: WebRTCSessionDescription) -> Result<String, Error> {
        let (done, wait) = mpsc::channel();
        let handler = self.webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
            if gathered(webrtc) {
                let _ = done.send(());
            }
        });
        self.ask("set-local-description", &[&description])?;
        if !gathered(&self.webrtc) {
            let _ = wait.recv_timeout(GATHERING);
        }
        self.webrtc.disconnect(handler);
        *lock(&self.heard) = Instant::now();
        let local = self.webrtc.property::<Option<WebRTCSessionDescription>>("local-description");
        Ok(local.ok_or("there is no description")?.sdp().as_text()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        lock(&self.link).take();
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gathered(webrtc: &gst::Element) -> bool {
    webrtc.property::<gst_webrtc::WebRTCICEGatheringState>("ice-gathering-state")
        == gst_webrtc::WebRTCICEGatheringState::Complete
}

/// The number that an offer gives to a format.
fn payload_of(offer: &gst_sdp::SDPMessageRef, format: Format) -> Option<u32> {
    let video = offer.medias().find(|m| m.media() == Some("video"))?;
    video
        .formats()
        .filter_map(|number| number.parse::<i32>().ok())
        .find(|&number| video.caps_from_media(number).is_some_and(|caps| format.is_of(&caps)))
        .and_then(|number| number.try_into().ok())
}
