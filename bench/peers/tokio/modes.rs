//! What is done with a connection in each mode. It is closed when its task ends.

use memchr::memmem::Finder;
use std::cmp::min;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{tcp, unix, TcpStream, UnixStream};

const BUFFER_SIZE: usize = 64 << 10; // not zeroed, so that its unused pages cost nothing
const PATTERN_SIZE: u64 = 1 << 20;
const MOST_PIECES: usize = 64; // of the pattern in one write, and no more bytes than it has
const END_OF_REQUEST: &[u8] = b"\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Type: text/plain\r\n\
    Content-Length: 13\r\n\r\nHello, World!";

/// What all connections use.
pub struct Common {
    end_of_request: Finder<'static>,
    answers: Vec<u8>, // as many as requests can end in one buffer
    pattern: Vec<u8>,
}

impl Common {
    pub fn make() -> &'static Common {
        Box::leak(Box::new(Common {
            end_of_request: Finder::new(END_OF_REQUEST),
            answers: ANSWER.repeat(BUFFER_SIZE / END_OF_REQUEST.len()),
            pattern: make_pattern(),
        }))
    }
}

/// What TCP and Unix sockets have in common, beside the names of their methods.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    type Reader: AsyncRead + Unpin + Send;
    type Writer: AsyncWrite + Unpin + Send;
    fn halves(self) -> (Self::Reader, Self::Writer);
}

impl Stream for TcpStream {
    type Reader = tcp::OwnedReadHalf;
    type Writer = tcp::OwnedWriteHalf;
    fn halves(self) -> (Self::Reader, Self::Writer) {
        self.into_split()
    }
}

impl Stream for UnixStream {
    type Reader = unix::OwnedReadHalf;
    type Writer = unix::OwnedWriteHalf;
    fn halves(self) -> (Self::Reader, Self::Writer) {
        self.into_split()
    }
}

pub async fn echo<S: Stream>(mut client: S) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_SIZE);
    while client.read_buf(&mut buffer).await? > 0 {
        client.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

// ---- HTTP ---------------------------------------------------------------------------------------

/// The requests of a client. `buffer` begins with as much as may belong to the end of the next one.
struct Requests<S> {
    client: S,
    buffer: Vec<u8>,
}

impl<S: Stream> Requests<S> {
    fn of(client: S) -> Self {
        Requests {
            client,
            buffer: Vec::with_capacity(BUFFER_SIZE),
        }
    }

    /// How many have come together, once one has; 0 at the end.
    async fn receive(&mut self, end_of_request: &Finder<'_>) -> io::Result<usize> {
        while self.client.read_buf(&mut self.buffer).await? > 0 {
            let mut count = 0;
            let mut rest = (self.buffer.len() + 1).saturating_sub(END_OF_REQUEST.len());
            for at in end_of_request.find_iter(&self.buffer) {
                count += 1;
                rest = rest.max(at + END_OF_REQUEST.len());
            }
            self.buffer.drain(..rest);
            if count > 0 {
                return Ok(count);
            }
        }
        Ok(0)
    }
}

pub async fn answer_requests<S: Stream>(client: S, common: &Common) -> io::Result<()> {
    let mut requests = Requests::of(client);
    loop {
        let count = requests.receive(&common.end_of_request).await?;
        if count == 0 {
            return Ok(());
        }
        requests
            .client
            .write_all(&common.answers[..count * ANSWER.len()])
            .await?;
    }
}

pub async fn answer_one_request<S: Stream>(client: S, common: &Common) -> io::Result<()> {
    let mut requests = Requests::of(client);
    if requests.receive(&common.end_of_request).await? > 0 {
        requests.client.write_all(ANSWER).await?;
    }
    Ok(())
}

// ---- Sink and source ----------------------------------------------------------------------------

pub async fn sink<S: Stream>(mut client: S) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_SIZE);
    let mut count = 0u64;
    while client.read_buf(&mut buffer).await? > 0 {
        count += buffer.len() as u64;
        buffer.clear();
    }
    client.write_all(&count.to_be_bytes()).await
}

/// As bench_pattern() has it: xorshift64, of each state the byte from bit 32 on.
fn make_pattern() -> Vec<u8> {
    let mut random = 0x9e3779b97f4a7c15u64;
    let next = |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 32) as u8
    };
    (0..PATTERN_SIZE).map(next).collect()
}

pub async fn source<S: Stream>(mut client: S, common: &Common) -> io::Result<()> {
    let (total, block) = (client.read_u64().await?, client.read_u64().await?);
    if !(1..=PATTERN_SIZE).contains(&block) {
        return Ok(());
    }
    let mut sent = 0;
    while sent < total {
        let mut pieces = [IoSlice::new(&[]); MOST_PIECES];
        let (mut count, mut size) = (0, 0);
        while count < MOST_PIECES && size < PATTERN_SIZE && sent + size < total {
            let from = (sent + size) % block;
            let length = min(block - from, total - sent - size);
            pieces[count] = IoSlice::new(&common.pattern[from as usize..(from + length) as usize]);
            size += length;
            count += 1;
        }
        sent += client.write_vectored(&pieces[..count]).await? as u64;
    }
    Ok(())
}

// ---- Proxy --------------------------------------------------------------------------------------

/// Until the end of one direction, which is passed on.
async fn forward<R, W>(mut from: R, mut to: W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = Vec::with_capacity(BUFFER_SIZE);
    while from.read_buf(&mut buffer).await? > 0 {
        to.write_all(&buffer).await?;
        buffer.clear();
    }
    to.shutdown().await
}

/// As tokio's copy_bidirectional(), whose buffers have 8 KiB: what goes wrong in one direction ends
/// both.
pub async fn proxy<S: Stream>(client: S, to: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.halves();
    let (from_server, to_server) = server.halves();
    tokio::try_join!(
        forward(from_client, to_server),
        forward(from_server, to_client)
    )?;
    Ok(())
}
