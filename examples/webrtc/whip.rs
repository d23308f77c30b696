//! A server to bring the stream to: WHIP (WebRTC-HTTP Ingestion Protocol, RFC 9725). An offer is posted, an answer
//! comes back, and at the end what was made is deleted. When a connection breaks, the next is made.

use crate::peer::{Network, Peer};
use crate::{Error, Stream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Between a connection that broke and the next.
const PAUSE: Duration = Duration::from_secs(3);
/// For the server to answer a request; less than a connection may be silent for.
const PATIENCE: Duration = Duration::from_secs(8);
/// Bytes of an answer.
const LONGEST: u64 = 64 * 1024;

/// What the thread of the connection waits for.
enum Event {
    Stop,
    Broken(String),
}

/// Sends to a server until it is dropped, which takes its leave there.
pub struct Sender {
    stop: mpsc::Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    pub fn start(
        server: &str,
        token: Option<String>,
        stream: Stream,
        network: Network,
    ) -> Result<Self, Error> {
        let server = Server::new(server, token)?;
        let (stop, events) = mpsc::channel();
        let broken = stop.clone();
        let thread = std::thread::spawn(move || {
            loop {
                let why = match server.connect(&stream, &network, broken.clone()) {
                    Ok((peer, resource)) => {
                        println!("sending to {}", server.address);
                        let event = events.recv();
                        drop(peer);
                        server.leave(resource.as_deref());
                        match event {
                            Ok(Event::Broken(why)) => why,
                            _ => return,
                        }
                    }
                    Err(e) => e.to_string(),
                };
                eprintln!("{}: {why}; again in {} s", server.address, PAUSE.as_secs());
                // What an old connection still says is of no interest.
                let until = std::time::Instant::now() + PAUSE;
                while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
                    match events.recv_timeout(left) {
                        Ok(Event::Broken(_)) => {}
                        Err(mpsc::RecvTimeoutError::Timeout) => break,
                        _ => return,
                    }
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.stop.send(Event::Stop);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Server {
    address: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Server {
    fn new(address: &str, token: Option<String>) -> Result<Self, Error> {
        let uri = address.parse::<ureq::http::Uri>().map_err(|e| format!("{address}: {e}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(
                format!("{address} is not an address of a server: http:// or https:// is wanted").into()
            );
        }
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        Ok(Self { address: address.into(), token, agent: agent.build().into() })
    }

    /// A connection, and where the server keeps it.
    fn connect(
        &self,
        stream: &Stream,
        network: &Network,
        broken: mpsc::Sender<Event>,
    ) -> Result<(Peer, Option<String>), Error> {
        let ended = move |why: &str| drop(broken.send(Event::Broken(why.into())));
        let (peer, offer) = Peer::offer(stream, network, ended)?;
        let request = self.agent.post(&self.address).header("Content-Type", "application/sdp");
        let mut response = self.signed(request).send(offer)?;
        let body = response.body_mut().with_config().limit(LONGEST).read_to_string()?;
        if response.status() != 201 {
            return Err(format!("the server says {}: {}", response.status(), body.trim()).into());
        }
        let resource =
            response.headers().get("Location").and_then(|l| l.to_str().ok()).map(|l| self.resolve(l));
        if let Err(e) = peer.accept(&body) {
            self.leave(resource.as_deref());
            return Err(e);
        }
        Ok((peer, resource))
    }

    fn leave(&self, resource: Option<&str>) {
        if let Some(resource) = resource {
            let _ = self.signed(self.agent.delete(resource)).call();
        }
    }

    fn signed<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// An address that may leave out what it has in common with the server's own.
    fn resolve(&self, location: &str) -> String {
        if location.contains("://") {
            return location.into();
        }
        let host = self.address.find("://").map_or(0, |i| i + 3);
        let root = self.address[host..].find(['/', '?']).map_or(self.address.len(), |i| host + i);
        let path = self.address[root..].split('?').next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |i| &path[..=i]);
        match location.starts_with('/') {
            true => format!("{}{location}", &self.address[..root]),
            false => format!("{}{folder}{location}", &self.address[..root]),
        }
    }
}
