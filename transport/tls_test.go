package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/balsa-raft/balsa/engine"
	"github.com/balsa-raft/balsa/raft"
)

// authority issues certificates for one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, template := newKey(t), &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// mutual gives a configuration with which a host at 127.0.0.1 serves and dials, and both sides have to show a certificate of the authority.
func (a *authority) mutual(t *testing.T) *tls.Config {
	t.Helper()
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "host"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

func TestTLS(t *testing.T) {
	issuer := newAuthority(t)
	aSink, bSink := new(inbox), new(inbox)
	a, b := open(t, Options{Host: 1, TLS: issuer.mutual(t), Sink: aSink}), open(t, Options{Host: 2, TLS: issuer.mutual(t), Sink: bSink})
	from, to := a.Addr().String(), b.Addr().String()
	data := make([]byte, 300_000)
	for n := range 100 {
		a.Send([]engine.Envelope{numbered(to, n)})
		b.Send([]engine.Envelope{numbered(from, n)})
	}
	a.Send([]engine.Envelope{{To: to, Message: &engine.SnapshotChunk{Data: data, Sum: raft.Sum(data)}}})
	eventually(t, "everything arrived", func() bool { return aSink.count() == 100 && bSink.count() == 101 })
	if !slices.Equal(numbers(aSink.all()), sequence(0, 99)) || !slices.Equal(numbers(bSink.all()), sequence(0, 99)) {
		t.Error("out of order")
	}
	b.Close()
	eventually(t, "the end was noticed", func() bool { return !status(a, to).Connected && aSink.disconnections(to) > 0 })
}

func TestTLSRefusesWhoeverHasNoPart(t *testing.T) {
	issuer, stranger := newAuthority(t), newAuthority(t)
	strangersCertificate := stranger.mutual(t)
	strangersCertificate.RootCAs = issuer.mutual(t).RootCAs // it trusts the host; the host does not trust it
	sink := new(inbox)
	b := open(t, Options{Host: 9, TLS: issuer.mutual(t), Sink: sink})
	tests := []struct {
		name string
		tls  *tls.Config
		want string
	}{
		{"no TLS at all", nil, "this host speaks TLS"},
		{"another authority, distrusting", stranger.mutual(t), "unknown authority"},
		{"another authority, trusting", strangersCertificate, "tls: "},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := open(t, Options{Host: uint64(i + 1), TLS: test.tls})
			to := b.Addr().String()
			a.Send([]engine.Envelope{numbered(to, 1)})
			eventually(t, "the attempt failed", func() bool { return status(a, to).LastError != "" })
			if s := status(a, to); s.Connected || !strings.Contains(s.LastError, test.want) {
				t.Errorf("status %+v, want the error %q", s, test.want)
			}
		})
	}
	if sink.count() > 0 {
		t.Error("a stranger's message was delivered")
	}
}

// TestTLSMeetsPlain: one host was set up with TLS and the other was not, which both say.
func TestTLSMeetsPlain(t *testing.T) {
	issuer := newAuthority(t)
	secured, plain := open(t, Options{Host: 1, TLS: issuer.mutual(t)}), open(t, Options{Host: 2})
	to := plain.Addr().String()
	secured.Send([]engine.Envelope{numbered(to, 1)})
	eventually(t, "the attempt failed", func() bool { return strings.Contains(status(secured, to).LastError, "does not speak TLS") })
	to = secured.Addr().String()
	plain.Send([]engine.Envelope{numbered(to, 1)})
	eventually(t, "the attempt failed", func() bool {
		return strings.Contains(status(plain, to).LastError, "refused by the peer: this host speaks TLS and the peer does not")
	})
}
