//! Viewers: a page to watch, and WHEP (WebRTC-HTTP Egress Protocol) for it and for any other player.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page |
//! | `POST /whep`, an offer (`application/sdp`) | 201, the answer, and where the viewer is found (`Location`) |
//! | `DELETE` of that | 200; the viewer has gone |
//!
//! No header lets pages of other sites ask, and the server answers to addresses and `localhost` only: what a camera sees
//! is for those who open this server's own page.

use crate::peer::{Network, Peer};
use crate::{Error, Stream};
use gst::glib;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tiny_http::{Header, Method, Request, Response};

const PAGE: &str = include_str!("watch.html");
const PATH: &str = "/whep";
const SDP: &str = "application/sdp";
/// Bytes of an offer; browsers send a tenth.
const LONGEST: u64 = 64 * 1024;
/// Viewers at a time.
const MOST: usize = 16;

type Viewers = Arc<Mutex<HashMap<String, Peer>>>;
type Answer = Response<std::io::Cursor<Vec<u8>>>;

/// A server, which stops and sends its viewers away when it is dropped.
pub struct Server {
    http: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
    viewers: Viewers,
}

impl Server {
    pub fn start(address: &str, port: u16, stream: Stream, network: Network) -> Result<Self, Error> {
        let http = tiny_http::Server::http((address, port))
            .map_err(|e| format!("{address}:{port} cannot be served at: {e}"))?;
        let http = Arc::new(http);
        println!("watch at http://{}/ (WHEP: {PATH})", http.server_addr());
        let viewers = Viewers::default();
        let room = Arc::new(Room { viewers: viewers.clone(), stream, network });
        let thread = std::thread::spawn({
            let http = http.clone();
            move || {
                for request in http.incoming_requests() {
                    // A thread each, since an answer takes as long as candidates are gathered.
                    let room = room.clone();
                    std::thread::spawn(move || room.serve(request));
                }
            }
        });
        Ok(Self { http, thread: Some(thread), viewers })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.http.unblock();
        let _ = self.thread.take().map(JoinHandle::join);
        lock(&self.viewers).clear();
    }
}

struct Room {
    viewers: Viewers,
    stream: Stream,
    network: Network,
}

impl Room {
    fn serve(&self, mut request: Request) {
        let path = request.url().split('?').next().unwrap_or_default().to_string();
        if !asked_by_its_own_page(&request) {
            let why = "ask by this machine's address or localhost, and not from another page\n";
            let _ = request.respond(text(403, why));
            return;
        }
        let answer = match (request.method(), path.as_str()) {
            (Method::Get, "/") => {
                Response::from_string(PAGE).with_header(header("Content-Type", "text/html"))
            }
            (Method::Post, PATH) => self.welcome(&mut request),
            (Method::Delete, _) => match path.strip_prefix(PATH).and_then(|p| p.strip_prefix('/')) {
                Some(name) if leave(&self.viewers, name, "has said goodbye") => text(200, ""),
                _ => text(404, "there is no such viewer\n"),
            },
            (_, "/" | PATH) => text(405, "GET / or POST /whep\n"),
            _ => text(404, "there is nothing here\n"),
        };
        let _ = request.respond(answer);
    }

    /// Answers an offer.
    fn welcome(&self, request: &mut Request) -> Answer {
        let is_sdp = |h: &&Header| h.field.equiv("Content-Type") && h.value.as_str().starts_with(SDP);
        // Pages of other sites may send plain text without being asked whether they may, but not this.
        if request.headers().iter().find(is_sdp).is_none() {
            return text(415, "an offer is application/sdp\n");
        }
        let mut offer = String::new();
        match request.as_reader().take(LONGEST + 1).read_to_string(&mut offer) {
            Ok(n) if n as u64 <= LONGEST => {}
            Ok(_) => return text(413, "that is too long for an offer\n"),
            Err(_) => return text(400, "an offer is text\n"),
        }
        if lock(&self.viewers).len() >= MOST {
            return text(503, "there are too many viewers\n");
        }
        let name = glib::uuid_string_random().to_string();
        let ended = {
            let (viewers, name) = (self.viewers.clone(), name.clone());
            move |why: &str| {
                // Not here, where a thread of the connection's own calls.
                let (viewers, name, why) = (viewers.clone(), name.clone(), why.to_string());
                glib::idle_add_once(move || {
                    leave(&viewers, &name, &why);
                });
            }
        };
        let (peer, answer) = match Peer::answer(&offer, &self.stream, &self.network, ended) {
            Ok(both) => both,
            Err(e) => return text(400, &format!("{e}\n")),
        };
        let mut viewers = lock(&self.viewers);
        viewers.insert(name.clone(), peer);
        println!("viewer {name} comes; {} in all", viewers.len());
        text(201, &answer)
            .with_header(header("Content-Type", SDP))
            .with_header(header("Location", &format!("{PATH}/{name}")))
    }
}

/// Whether a request is to an address, not to a name that somebody may have pointed here (DNS rebinding), and from no page
/// of another site.
fn asked_by_its_own_page(request: &Request) -> bool {
    let of =
        |name: &'static str| request.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.as_str());
    let host = of("Host").unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok();
    let same = of("Origin").is_none_or(|origin| origin.split("://").nth(1) == Some(host));
    address && same
}

/// Sends a viewer away; whether there was one.
fn leave(viewers: &Viewers, name: &str, why: &str) -> bool {
    let mut all = lock(viewers);
    let gone = all.remove(name);
    let left = all.len();
    drop(all);
    if gone.is_some() {
        println!("viewer {name}: {why}; {left} in all");
    }
    gone.is_some()
}

fn text(status: u16, text: &str) -> Answer {
    Response::from_string(text).with_status_code(status)
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("plain text")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
