// FerretDB as a test server: ferretdb ADDRESS POSTGRES-URL.
//
// Its own command does not build from the module (it lacks a generated version file), while the package
// for embedding does.
//
// FerretDB 1 carries out an update as a query and then a write of what it has made of the answer, with nothing
// to hold others off in between: of two that change one document at the same time, both succeed and one is
// lost. MongoDB promises that the change of one document is atomic, and herald relies on it. So clients do
// not reach FerretDB itself, but a door before it that lets in one command at a time.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

const maxMessage = 48000000

// readMessage reads one message of the wire protocol, whose first four bytes are its length.
func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < 16 || n > maxMessage+16384 {
		return nil, errors.New("not a message of MongoDB's protocol")
	}
	message := make([]byte, n)
	copy(message, length[:])
	_, err := io.ReadFull(r, message[4:])
	return message, err
}

var one sync.Mutex

// ask hands a request on and waits for the answer; only then the next one may come in.
func ask(server net.Conn, request []byte) ([]byte, error) {
	one.Lock()
	defer one.Unlock()
	if _, err := server.Write(request); err != nil {
		return nil, err
	}
	return readMessage(server)
}

func serve(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	for {
		request, err := readMessage(client)
		if err != nil {
			return
		}
		answer, err := ask(server, request)
		if err != nil {
			return
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: ferretdb ADDRESS POSTGRES-URL")
	}
	dir, err := os.MkdirTemp(".", "ferretdb-socket-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "socket")
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	f, err := ferretdb.New(&ferretdb.Config{
		Listener:      ferretdb.ListenerConfig{Unix: socket},
		Logger:        logger,
		Handler:       "postgresql",
		PostgreSQLURL: os.Args[2],
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()

	for {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
			break
		}
		select {
		case err := <-ended:
			log.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	door, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			client, err := door.Accept()
			if err != nil {
				return
			}
			go serve(client, socket)
		}
	}()
	if err := <-ended; err != nil {
		log.Print(err)
	}
}
