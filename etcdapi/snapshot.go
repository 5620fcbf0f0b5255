package etcdapi

import (
	"bufio"
	"crypto/sha256"
	"hash"
	"strings"

	"google.golang.org/grpc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// snapshotChunk is the most bytes that one message of a snapshot carries, as in etcd.
	snapshotChunk = 32 << 10
	// snapshotBlock is what the body's length is a multiple of. Clients take a file for complete if it is a multiple of it with a SHA-256 behind.
	snapshotBlock = 512
)

// Snapshot sends a consistent copy of this member's store: the store's own snapshot format, zeros up to a multiple of 512 bytes, and the SHA-256 of
// both. Writes go on meanwhile. How much is left to come is not known, since the body is written while it is sent.
func (s *maintenanceService) Snapshot(_ *pb.SnapshotRequest, stream grpc.ServerStreamingServer[pb.SnapshotResponse]) error {
	snapshot, err := s.store.Backup(stream.Context())
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if err := snapshot.Close(); err != nil {
			s.Logger.Warn("a snapshot that was sent to a client did not close", "error", err)
		}
	}()
	sender := &snapshotSender{service: s, stream: stream, digest: sha256.New()}
	body := bufio.NewWriterSize(sender, snapshotChunk)
	if _, err := snapshot.WriteTo(body); err != nil {
		return storeError(err)
	}
	if err := body.Flush(); err != nil {
		return storeError(err)
	}
	if rest := sender.size % snapshotBlock; rest != 0 {
		if _, err := sender.Write(make([]byte, snapshotBlock-rest)); err != nil {
			return storeError(err)
		}
	}
	return sender.send(sender.digest.Sum(nil))
}

// snapshotSender makes messages of what is written to it.
type snapshotSender struct {
	service *maintenanceService
	stream  grpc.ServerStreamingServer[pb.SnapshotResponse]
	digest  hash.Hash
	size    int
	started bool
}

// Write implements io.Writer: it sends data in chunks and adds it to the digest.
func (w *snapshotSender) Write(data []byte) (int, error) {
	w.digest.Write(data)
	w.size += len(data)
	for sent := 0; sent < len(data); {
		chunk := data[sent:min(len(data), sent+snapshotChunk)]
		if err := w.send(chunk); err != nil {
			return sent, err
		}
		sent += len(chunk)
	}
	return len(data), nil
}

// send passes the bytes to gRPC, which has encoded them when it returns. The first message says of which state the snapshot is, about.
func (w *snapshotSender) send(blob []byte) error {
	response := &pb.SnapshotResponse{Blob: blob, Version: w.service.storageVersion()}
	if !w.started {
		w.started = true
		response.Header = w.service.header(w.service.store.Revision())
	}
	return w.stream.Send(response)
}

// storageVersion is the version of what is stored, in etcd's form: major and minor of the server's, with patch 0.
func (a *API) storageVersion() string {
	parts := strings.SplitN(a.ServerVersion, ".", 3)
	if len(parts) < 2 {
		return a.ServerVersion
	}
	return parts[0] + "." + parts[1] + ".0"
}
