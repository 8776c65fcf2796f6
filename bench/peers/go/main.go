// The servers of the benchmark in Go: a goroutine a connection, in one processor of the runtime.
//
// TCP_NODELAY, the backlog (net.core.somaxconn) and as many descriptors as the hard limit allows
// are what Go does without being asked. Keep-alive probes, which it would also set, nobody else
// here has.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"
)

const (
	program    = "go"
	unixPrefix = "unix:"
)

const (
	exitOK = iota
	exitFailed
	exitUsage
)

// What TCP and Unix sockets have in common.
type stream interface {
	net.Conn
	CloseWrite() error
}

// Ends by returning; the connection is then closed for it.
type mode func(client stream)

var modes = map[string]mode{
	"echo":       echo,
	"http":       answerRequests,
	"http-close": answerOneRequest,
	"sink":       sink,
	"source":     source,
	"proxy":      proxy,
}

const help = `go: a server in Go, to compare weir with

usage: go [OPTION...]

  --listen ADDRESS  HOST:PORT or unix:PATH (127.0.0.1:0, a port that the system picks)
  --mode MODE       %s
  --to ADDRESS      whom the proxy joins clients to, HOST:PORT
  --help            this text

Prints "go: listening on ADDRESS" once it listens. SIGTERM and SIGINT end it.
`

func die(status int, format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, program+": "+format+"\n", arguments...)
	os.Exit(status)
}

func printHelp() {
	names := make([]string, 0, len(modes))
	for name := range modes {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Printf(help, strings.Join(names, ", "))
}

func resolve(address string) *net.TCPAddr {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		die(exitUsage, "'%s' is no HOST:PORT: %v", address, err)
	}
	return resolved
}

// Returns where to listen, and what to do with those who come.
func parseOptions() (string, mode) {
	flags := flag.NewFlagSet(program, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	address := flags.String("listen", "127.0.0.1:0", "")
	name := flags.String("mode", "echo", "")
	to := flags.String("to", "", "")
	if err := flags.Parse(os.Args[1:]); errors.Is(err, flag.ErrHelp) {
		printHelp()
		os.Exit(exitOK)
	} else if err != nil {
		die(exitUsage, "%v; see --help", err)
	}
	if flags.NArg() > 0 {
		die(exitUsage, "unexpected argument '%s'; see --help", flags.Arg(0))
	}
	serve, known := modes[*name]
	if !known {
		die(exitUsage, "no mode '%s' here; see --help", *name)
	}
	if *name == "proxy" && *to == "" {
		die(exitUsage, "mode proxy needs --to")
	}
	if !strings.HasPrefix(*address, unixPrefix) {
		resolve(*address)
	}
	if *to != "" {
		backend = resolve(*to)
	}
	return *address, serve
}

func listen(address string) net.Listener {
	network := "tcp"
	if path := strings.TrimPrefix(address, unixPrefix); path != address {
		network, address = "unix", path
		os.Remove(path)
	}
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), network, address)
	if err != nil {
		die(exitFailed, "%v", err)
	}
	return listener
}

func announce(listener net.Listener) {
	address := listener.Addr().String()
	if listener.Addr().Network() == "unix" {
		address = unixPrefix + address
	}
	fmt.Printf(program+": listening on %s\n", address)
}

func accept(listener net.Listener, serve mode) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of descriptors or memory there may be more soon
			time.Sleep(5 * time.Millisecond)
			continue
		}
		go func() {
			defer client.Close()
			serve(client.(stream))
		}()
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	address, serve := parseOptions()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	listener := listen(address)
	announce(listener)
	go accept(listener, serve)
	<-ended
	listener.Close() // which removes the path of a Unix socket
}
