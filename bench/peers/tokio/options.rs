//! The command line.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::exit;

pub const PROGRAM: &str = "tokio";
pub const OK: i32 = 0;
pub const FAILED: i32 = 1;
pub const USAGE: i32 = 2;

const HELP: &str = "\
tokio: a server on tokio, to compare weir with

usage: tokio [OPTION...]

  --listen ADDRESS  HOST:PORT or unix:PATH (127.0.0.1:0, a port that the system picks)
  --mode MODE       echo, http, http-close, sink, source or proxy; the first unless told otherwise
  --to ADDRESS      whom the proxy joins clients to, HOST:PORT
  --help            this text

Prints \"tokio: listening on ADDRESS\" once it listens. SIGTERM and SIGINT end it.
";

pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy)]
pub enum Mode {
    Echo,
    Http,
    HttpClose,
    Sink,
    Source,
    Proxy(SocketAddr),
}

pub struct Options {
    pub address: Address,
    pub mode: Mode,
}

pub fn die(status: i32, message: &str) -> ! {
    eprintln!("{PROGRAM}: {message}");
    exit(status)
}

fn resolve(text: &str) -> SocketAddr {
    match text.to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(address)) => address,
        _ => die(USAGE, &format!("'{text}' is no HOST:PORT")),
    }
}

fn parse_mode(text: &str, to: Option<SocketAddr>) -> Mode {
    match text {
        "echo" => Mode::Echo,
        "http" => Mode::Http,
        "http-close" => Mode::HttpClose,
        "sink" => Mode::Sink,
        "source" => Mode::Source,
        "proxy" => match to {
            Some(address) => Mode::Proxy(address),
            None => die(USAGE, "mode proxy needs --to"),
        },
        _ => die(USAGE, &format!("no mode '{text}' here; see --help")),
    }
}

/// Ends the process if something is wrong, or at --help.
pub fn parse_options() -> Options {
    let (mut listen, mut mode, mut to) = ("127.0.0.1:0".to_string(), "echo".to_string(), None);
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--help" {
            print!("{HELP}");
            exit(OK);
        }
        if !["--listen", "--mode", "--to"].contains(&name.as_str()) {
            die(USAGE, &format!("unexpected '{name}'; see --help"));
        }
        let value = match arguments.next() {
            Some(value) => value,
            None => die(USAGE, &format!("{name} takes a value; see --help")),
        };
        match name.as_str() {
            "--listen" => listen = value,
            "--mode" => mode = value,
            _ => to = Some(resolve(&value)),
        }
    }
    let address = match listen.strip_prefix("unix:") {
        Some(path) => Address::Unix(path.into()),
        None => Address::Tcp(resolve(&listen)),
    };
    Options {
        address,
        mode: parse_mode(&mode, to),
    }
}
