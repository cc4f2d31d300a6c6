//! A TCP proxy before a server: slow, silent or cut at will; and one that speaks TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the proxy does to what passes.
#[derive(Default)]
pub struct Ways {
    /// Milliseconds that each answer is late.
    pub delay_ms: AtomicU64,
    /// Whether the next answer is swallowed, and the connection cut in its place.
    pub cut: AtomicBool,
    /// Requests that were passed on.
    pub passed: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Ways {
    /// Cuts all connections.
    pub fn cut_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Listens on a port of its own, and passes on to `port`.
pub fn start(port: u16) -> (u16, Arc<Ways>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let ways = Arc::new(Ways::default());
    let shared = ways.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            shared.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
            pass(client.try_clone().unwrap(), server.try_clone().unwrap(), shared.clone(), false);
            pass(server, client, shared.clone(), true);
        }
    });
    (own, ways)
}

fn pass(mut from: TcpStream, mut to: TcpStream, ways: Arc<Ways>, answers: bool) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if answers {
                std::thread::sleep(Duration::from_millis(ways.delay_ms.load(Ordering::SeqCst)));
                if ways.cut.swap(false, Ordering::SeqCst) {
                    break;
                }
            } else {
                ways.passed.fetch_add(1, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
