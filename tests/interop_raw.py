"""Python's TLS (OpenSSL) without its sockets: a peer that ends, breaks and injects as a case needs,
which no finished program does."""

import asyncio
import ssl

from interop_base import Failure, equal, soon


class Truncated(Exception):
    """The connection has ended without close_notify."""


def context(run, server_side, version=None):
    protocol = ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
    made = ssl.SSLContext(protocol)
    if version:
        made.minimum_version = made.maximum_version = {
            'TLSv1.2': ssl.TLSVersion.TLSv1_2, 'TLSv1.3': ssl.TLSVersion.TLSv1_3}[version]
    if server_side:
        made.load_cert_chain(run.pem('server'), run.pem('server-key'))
    else:
        made.load_verify_locations(run.pem('ca'))
    return made


class Raw:
    """One end of a TLS connection over asyncio's plain streams."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.received = b''  # and not yet shown to OpenSSL
        self.tls = None

    async def handshake(self, tls_context, server_side):
        self.tls = tls_context.wrap_bio(self.incoming, self.outgoing, server_side,
                                        None if server_side else 'localhost')
        await self._perform(self.tls.do_handshake)
        return self

    async def _flush(self):
        if self.outgoing.pending:
            self.writer.write(self.outgoing.read())
            await soon(self.writer.drain(), 'weir receives')

    async def _receive_record(self):
        """Shows OpenSSL one record and not more: close_notify() would discard the rest."""
        header = 5
        while len(self.received) < header + int.from_bytes(self.received[3:5], 'big'):
            data = await soon(self.reader.read(1 << 16), 'weir sends')
            if not data:
                raise Truncated
            self.received += data
        size = header + int.from_bytes(self.received[3:5], 'big')
        self.incoming.write(self.received[:size])
        self.received = self.received[size:]

    async def _perform(self, operation, *arguments):
        while True:
            try:
                result = operation(*arguments)
                await self._flush()
                return result
            except ssl.SSLWantReadError:
                await self._flush()
                await self._receive_record()
            except ssl.SSLError:
                await self._flush()  # it may have queued an alert
                raise

    async def read(self):
        """Some bytes, or b'' at close_notify."""
        try:
            return await self._perform(self.tls.read, 1 << 16)
        except ssl.SSLZeroReturnError:
            return b''

    async def read_all(self):
        parts = []
        while data := await self.read():
            parts.append(data)
        return b''.join(parts)

    async def expect(self, text):
        got = b''
        while len(got) < len(text):
            data = await self.read()
            if not data:
                raise Failure(f'weir sent {got!r} and an end, not {text!r}')
            got += data
        equal('what weir sent', got, text)

    async def write(self, data):
        for begin in range(0, len(data), 1 << 16):
            await self._perform(self.tls.write, data[begin:begin + (1 << 16)])

    async def close_notify(self):
        """Sends it; the other direction stays as it is."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        await self._flush()

    async def inject(self, data):
        """Sends these bytes as they are, unencrypted."""
        self.writer.write(data)
        await soon(self.writer.drain(), 'weir receives')

    async def fin(self):
        self.writer.write_eof()

    async def expect_fin(self):
        """weir has closed the connection, in order: no RST."""
        try:
            rest = self.received + await soon(self.reader.read(1), 'weir closes')
            equal('what follows close_notify', rest, b'')
        except ConnectionError as error:
            raise Failure(f'weir reset the connection: {error}') from None


async def raw_pair(run, side, version, *actions, options=()):
    """weir as `side` that performs the actions, and the Raw at the other end, both connected."""
    if side == 'server':
        weir = await run.serve(*actions, options=options)
        reader, writer = await asyncio.open_connection('127.0.0.1', weir.port)
    else:
        accepted = asyncio.get_running_loop().create_future()

        async def accept(reader, writer):
            accepted.set_result((reader, writer))

        listener = await asyncio.start_server(accept, '127.0.0.1', 0)
        run.closers.append(listener.close)
        port = listener.sockets[0].getsockname()[1]
        weir = await run.connect(port, *actions, options=options)
        reader, writer = await soon(accepted, 'weir connects')
    run.closers.append(writer.transport.abort)
    raw = Raw(reader, writer)
    try:
        await raw.handshake(context(run, side == 'client', version), side == 'client')
    except (ssl.SSLError, Truncated, ConnectionError) as error:
        raise Failure(f'handshake: {type(error).__name__} {error}') from None
    return weir, raw
