package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

const (
	bufferSize   = 64 << 10
	patternSize  = 1 << 20
	mostPieces   = 64 // of the pattern in one write, and no more bytes than it has
	endOfRequest = "\r\n\r\n"
	answer       = "HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Type: text/plain\r\n" +
		"Content-Length: 13\r\n\r\nHello, World!"
)

var (
	backend *net.TCPAddr // of the proxy
	pattern = makePattern()
	answers = bytes.Repeat([]byte(answer), bufferSize/len(endOfRequest))
)

// Buffers outlive their connections, so that few have to be zeroed.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func echo(client stream) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		size, err := client.Read(buffer[:])
		if err != nil {
			return
		}
		if _, err = client.Write(buffer[:size]); err != nil {
			return
		}
	}
}

// ---- HTTP ---------------------------------------------------------------------------------------

// Counts the requests that end in these bytes. Returns also what an end may begin with that is not
// complete yet.
func countRequests(received []byte) (count int, rest []byte) {
	for {
		_, after, found := bytes.Cut(received, []byte(endOfRequest))
		if !found {
			break
		}
		received = after
		count++
	}
	if most := len(endOfRequest) - 1; len(received) > most {
		received = received[len(received)-most:]
	}
	return count, received
}

// Calls serve() with how many requests have ended together, until it fails.
func serveRequests(client stream, serve func(count int) error) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for kept := 0; ; {
		size, err := client.Read(buffer[kept:])
		if err != nil {
			return
		}
		count, rest := countRequests(buffer[:kept+size])
		kept = copy(buffer[:], rest)
		if count > 0 && serve(count) != nil {
			return
		}
	}
}

func answerRequests(client stream) {
	serveRequests(client, func(count int) error {
		_, err := client.Write(answers[:count*len(answer)])
		return err
	})
}

func answerOneRequest(client stream) {
	serveRequests(client, func(int) error {
		client.Write(answers[:len(answer)])
		return io.EOF
	})
}

// ---- Sink and source ----------------------------------------------------------------------------

func sink(client stream) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	count := uint64(0)
	for {
		size, err := client.Read(buffer[:])
		count += uint64(size)
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	client.Write(binary.BigEndian.AppendUint64(nil, count))
}

// As bench_pattern() has it: xorshift64, of each state the byte from bit 32 on.
func makePattern() []byte {
	random := uint64(0x9e3779b97f4a7c15)
	pattern := make([]byte, patternSize)
	for i := range pattern {
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		pattern[i] = byte(random >> 32)
	}
	return pattern
}

func source(client stream) {
	var request [16]byte
	if _, err := io.ReadFull(client, request[:]); err != nil {
		return
	}
	left, block := binary.BigEndian.Uint64(request[:8]), binary.BigEndian.Uint64(request[8:])
	if block < 1 || block > patternSize {
		return
	}
	var pieces [mostPieces][]byte
	for left > 0 {
		count := 0
		for size := uint64(0); left > 0 && count < mostPieces && size < patternSize; count++ {
			if block > left {
				block = left
			}
			pieces[count] = pattern[:block]
			size += block
			left -= block
		}
		blocks := net.Buffers(pieces[:count])
		if _, err := blocks.WriteTo(client); err != nil {
			return
		}
	}
}

// ---- Proxy --------------------------------------------------------------------------------------

// What goes wrong in one direction ends both.
func forward(from, to stream) {
	if _, err := io.Copy(to, from); err != nil || to.CloseWrite() != nil {
		from.Close()
		to.Close()
	}
}

func proxy(client stream) {
	server, err := net.DialTCP("tcp", nil, backend)
	if err != nil {
		return
	}
	defer server.Close()
	ended := make(chan struct{})
	go func() {
		forward(client, server)
		close(ended)
	}()
	forward(server, client)
	<-ended
}
