package limit

import (
	"io"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// RoundTrips sends 16 bytes over loopback TCP and waits for them to come back, over and over.
func RoundTrips(during time.Duration) (Rate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Rate{}, err
	}
	defer l.Close()
	echoed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = io.Copy(conn, conn)
			conn.Close()
		}
		echoed <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return Rate{}, err
	}
	defer conn.Close()
	rate := Rate{Latency: hdrhistogram.New(1, longest, 2)}
	var ping [16]byte
	start := time.Now()
	for time.Since(start) < during {
		began := time.Now()
		if _, err := conn.Write(ping[:]); err != nil {
			return Rate{}, err
		}
		if _, err := io.ReadFull(conn, ping[:]); err != nil {
			return Rate{}, err
		}
		_ = rate.Latency.RecordValue(min(max(time.Since(began).Microseconds(), 1), longest))
	}
	rate.PerSecond = float64(rate.Latency.TotalCount()) / time.Since(start).Seconds()
	conn.Close()
	return rate, <-echoed
}
