//! What of the gate runs where the attempt runs.
//!
//! A sandbox has a network of its own with nothing on it, and a socket file that leads to the gate. Tools speak to an
//! address, not to a file: so the attempt begins as docent's own program, which puts a listener on the loopback of the
//! sandbox, leaves a relay from it to the socket, and becomes the attempt's program. All of it is the attempt's user in
//! the attempt's namespaces: it may do nothing that the attempt may not, and ends with it, however that comes about.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::bundle;
use super::{PORT, own_addresses};

/// Where a sandbox finds what the gate needs of it.
pub const HOME: &str = "/in/gate";
/// The socket in that folder.
pub const SOCKET: &str = "socket";
/// Docent's own program in that folder.
pub const PROGRAM: &str = "program";
/// How the log begins if the program could not be started.
pub const CANNOT_START: &str = "docent: cannot start ";

const MOMENT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

/// Docent's own program, as a sandbox starts it.
pub fn program(is_dynamic: bool) -> Vec<String> {
    bundle::command(&format!("{HOME}/{PROGRAM}"), is_dynamic)
}

/// Words that stand before an attempt's own command in a sandbox.
pub fn prefix(is_dynamic: bool) -> Vec<String> {
    let mut words = program(is_dynamic);
    words.extend(["gate", "enter", "--"].map(str::to_owned));
    words
}

/// Puts the relay there, and becomes the program. Returns only if that fails, with the exit code.
pub fn enter(command: &[OsString]) -> u8 {
    let Some((program, arguments)) = command.split_first() else { return 126 };
    let started = place_relay().err().unwrap_or_else(|| Command::new(program).args(arguments).exec());
    eprintln!("{CANNOT_START}{}: {started}", program.to_string_lossy());
    if started.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

fn place_relay() -> io::Result<()> {
    // It hears from now on: who comes before the relay runs waits for it.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
    let status = again("relay", true)?.stdin(Stdio::from(OwnedFd::from(listener))).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("the relay: {status}"))) }
}

/// This program again.
fn again(part: &str, is_first: bool) -> io::Result<Command> {
    let words = program(Path::new(HOME).join(PROGRAM).join(bundle::LOADER).exists());
    let (program, rest) = words.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let mut command = Command::new(program);
    command.args(rest).args(["gate", part]).env_clear().current_dir("/");
    command.args(is_first.then_some("--leave"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// Starts the relay and goes: it shall be nobody's child, so that no program waits for it.
pub fn leave_relay() -> io::Result<()> {
    again("relay", false)?.stdin(Stdio::inherit()).spawn().map(drop)
}

/// Passes on what comes to the listener at the standard input, until it is killed.
pub async fn relay() -> io::Result<()> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let socket = PathBuf::from(HOME).join(SOCKET);
    loop {
        let (mut near, _) = listener.accept().await?;
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(mut far) = tokio::net::UnixStream::connect(socket).await {
                // Either side may break off.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// Tries from inside what must not be reached, and whether the gate answers; says what it found, a line each.
pub fn try_out(port: u16, places: &[SocketAddr]) {
    let own = own_addresses().unwrap_or_default();
    // The first address of a network is commonly the bridge's, and so the machine's that holds it.
    let firsts = own.iter().filter_map(|address| match address {
        IpAddr::V4(address) if !address.is_loopback() => {
            let [a, b, c, _] = address.octets();
            Some([SocketAddr::from(([a, b, 0, 1], port)), SocketAddr::from(([a, b, c, 1], port))])
        }
        _ => None,
    });
    let mut places: Vec<SocketAddr> = places.iter().copied().chain(firsts.flatten()).collect();
    places.sort();
    places.dedup();
    let tries: Vec<_> = places
        .into_iter()
        .map(|place| {
            std::thread::spawn(move || TcpStream::connect_timeout(&place, MOMENT).is_ok().then_some(place))
        })
        .collect();
    for place in tries.into_iter().filter_map(|it| it.join().ok().flatten()) {
        println!("reached {place}");
    }
    let (sender, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(("example.org", 443).to_socket_addrs().is_ok()));
    if let Ok(true) = answer.recv_timeout(MOMENT) {
        println!("reached a name server");
    }
    match ask_gate() {
        Ok(line) if line.contains("403") => println!("the gate answers"),
        Ok(line) => println!("the gate says {line}"),
        Err(error) => println!("the gate does not answer: {error}"),
    }
}

/// Waits until something accepts a connection there, and says whether it did in time.
pub fn reach(place: &SocketAddr, seconds: u64) -> bool {
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    while std::time::Instant::now() < end {
        if TcpStream::connect_timeout(place, MOMENT).is_ok() {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

fn ask_gate() -> io::Result<String> {
    let gate = std::env::var("https_proxy").map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(gate.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(MOMENT))?;
    stream.write_all(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\n")?;
    let mut head = [0; 64];
    let count = stream.read(&mut head)?;
    Ok(String::from_utf8_lossy(head.get(..count).unwrap_or_default())
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}
