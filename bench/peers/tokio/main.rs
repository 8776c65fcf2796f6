//! The servers of the benchmark on tokio: a task a connection, on a runtime of one thread.

mod modes;
mod options;

use crate::modes::{Common, Stream};
use crate::options::{die, Address, Mode, Options, FAILED, PROGRAM};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{fs, io};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{signal, SignalKind};

const BACKLOG: i32 = 4096;

/// As many descriptors as the hard limit allows.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both only use `limit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// tokio's own sockets do not take TCP_NODELAY before they listen. Those accepted inherit it from
/// the listener, which saves a call for each.
fn listen(address: &Address) -> io::Result<Listener> {
    let (domain, address) = match address {
        Address::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Address::Unix(path) => {
            let _ = fs::remove_file(path); // of a server that did not end in order
            (Domain::UNIX, SockAddr::unix(path)?)
        }
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)?;
    if domain != Domain::UNIX {
        socket.set_reuse_address(true)?;
        socket.set_nodelay(true)?;
    }
    socket.bind(&address)?;
    socket.listen(BACKLOG)?;
    Ok(match domain {
        Domain::UNIX => Listener::Unix(UnixListener::from_std(socket.into())?),
        _ => Listener::Tcp(TcpListener::from_std(socket.into())?),
    })
}

fn announce(listener: &Listener, address: &Address) -> io::Result<()> {
    if let Address::Unix(path) = address {
        println!("{PROGRAM}: listening on unix:{}", path.display());
    } else if let Listener::Tcp(listener) = listener {
        println!("{PROGRAM}: listening on {}", listener.local_addr()?);
    }
    Ok(())
}

/// Each mode has a task of its own type, which is no larger than it has to be.
fn start<S: Stream, A>(accepted: io::Result<(S, A)>, mode: Mode, common: &'static Common) {
    if let Ok((client, _)) = accepted {
        match mode {
            Mode::Echo => tokio::spawn(modes::echo(client)),
            Mode::Http => tokio::spawn(modes::answer_requests(client, common)),
            Mode::HttpClose => tokio::spawn(modes::answer_one_request(client, common)),
            Mode::Sink => tokio::spawn(modes::sink(client)),
            Mode::Source => tokio::spawn(modes::source(client, common)),
            Mode::Proxy(to) => tokio::spawn(modes::proxy(client, to)),
        };
    }
}

async fn accept(listener: Listener, mode: Mode) {
    let common = Common::make();
    match listener {
        Listener::Tcp(listener) => loop {
            start(listener.accept().await, mode, common);
        },
        Listener::Unix(listener) => loop {
            start(listener.accept().await, mode, common);
        },
    }
}

async fn run(options: Options) -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let listener = listen(&options.address)?;
    announce(&listener, &options.address)?;
    tokio::spawn(accept(listener, options.mode));
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    if let Address::Unix(path) = &options.address {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn main() {
    let options = options::parse_options();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    if let Err(error) = runtime.and_then(|runtime| runtime.block_on(run(options))) {
        die(FAILED, &error.to_string());
    }
}
