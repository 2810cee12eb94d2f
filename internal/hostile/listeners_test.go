package hostile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// authority is a certificate authority made for one test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	n    int64
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, pool: x509.NewCertPool()}
	a.key = newKey(t)
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, &a.key.PublicKey)
	a.pool.AddCert(a.cert)
	writePEM(t, a.path(name+".pem"), "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// sign makes a certificate; parent nil: it signs itself.
func (a *authority) sign(c, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	a.n++
	c.SerialNumber = big.NewInt(a.n)
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue writes NAME.crt and NAME.key, for both ends of a connection.
func (a *authority) issue(name string) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	cert := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, a.path(name+".crt"), "CERTIFICATE", cert.Raw)
	writePEM(a.t, a.path(name+".key"), "PRIVATE KEY", der)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	writeFile(t, path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// Rule: TLS, client certificates and passwords are asked for on both listeners,
// by all paths of them, as their web configuration says.
func TestBothListenersAskWhoIsThere(t *testing.T) {
	dir := t.TempDir()
	ca, stranger := newAuthority(t, dir, "ca"), newAuthority(t, t.TempDir(), "stranger")
	ca.issue("server")
	friend, foe := ca.issue("friend"), stranger.issue("foe")
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	mtls := writeFile(t, filepath.Join(dir, "mtls.yml"), "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert}\n")
	basic := writeFile(t, filepath.Join(dir, "basic.yml"), fmt.Sprintf("tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {ali: %q}\n", hash))
	body, requests := []byte{0}, []string{"POST write /api/v1/write", "GET write /metrics", "GET write /-/ready",
		"GET admin /api/v1/config", "GET admin /metrics", "POST admin /-/reload", "GET admin /debug/pprof/", "GET admin /"}
	for _, c := range []struct {
		name, write, admin string
	}{{"client certificate for writers, password for admins", mtls, basic}, {"the other way round", basic, mtls}} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, t.TempDir(), nil, "--remote-write.url=http://127.0.0.1:1/", "--web.config.file="+c.write, "--admin.web.config.file="+c.admin)
			ask := func(request string, cert *tls.Certificate, password string) (int, error) {
				word := strings.Fields(request)
				addr := r.write
				if word[1] == "admin" {
					addr = r.admin
				}
				conf := &tls.Config{RootCAs: ca.pool}
				if cert != nil {
					conf.Certificates = []tls.Certificate{*cert}
				}
				tr := &http.Transport{TLSClientConfig: conf}
				defer tr.CloseIdleConnections()
				req, err := http.NewRequest(word[0], "https://"+addr+word[2], bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if password != "" {
					req.SetBasicAuth("ali", password)
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					return 0, err
				}
				resp.Body.Close()
				return resp.StatusCode, nil
			}
			for _, request := range requests {
				byPassword := (strings.Contains(request, " admin ") && c.admin == basic) || (strings.Contains(request, " write ") && c.write == basic)
				for _, who := range []struct {
					name     string
					cert     *tls.Certificate
					password string
					in       bool
				}{
					{"nobody", nil, "", false},
					{"a stranger's certificate", &foe, "", false},
					{"a wrong password", nil, "open barley", false},
					{"a friend's certificate", &friend, "", !byPassword},
					{"the password", nil, "open sesame", byPassword},
				} {
					status, err := ask(request, who.cert, who.password)
					in := err == nil && status != http.StatusUnauthorized
					if in != who.in {
						t.Errorf("%s with %s: %d, %v", request, who.name, status, err)
					}
				}
			}
			// Who does not speak TLS gets nothing either.
			if resp, err := http.Get("http://" + r.admin + "/api/v1/config"); err == nil {
				resp.Body.Close()
				if resp.StatusCode != http.StatusBadRequest {
					t.Errorf("without TLS: %d", resp.StatusCode)
				}
			}
		})
	}
}

// Rule: the admin listener is on loopback; one that others can reach is refused
// at start unless its web configuration asks every client who it is.
func TestAPublicAdminListenerNeedsAuthentication(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue("server")
	const certificate = "tls_server_config: {cert_file: server.crt, key_file: server.key"
	web := func(name, text string) string {
		return "--admin.web.config.file=" + writeFile(t, filepath.Join(dir, name), text)
	}
	tlsOnly := web("tls.yml", certificate+"}\n")
	asksNotEnough := web("ask.yml", certificate+", client_ca_file: ca.pem, client_auth_type: VerifyClientCertIfGiven}\n")
	empty := web("empty.yml", "")
	users := web("users.yml", "basic_auth_users: {ali: $2a$10$0TUSqT0QUY/8Pk0ZUQtg4.HO0C7FG10PIPzuGeF/zZpz1VES0DitG}\n")
	mtls := web("mtls.yml", certificate+", client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert}\n")
	for _, c := range []struct {
		address, web string
		refused      bool
	}{
		{":0", "", true}, {"0.0.0.0:0", "", true}, {"[::]:0", "", true}, {"192.0.2.1:0", "", true}, {"relay.example:0", "", true},
		{"0.0.0.0:0", tlsOnly, true}, {"0.0.0.0:0", asksNotEnough, true}, {"0.0.0.0:0", empty, true},
		{"0.0.0.0:0", users, false}, {"0.0.0.0:0", mtls, false}, {"127.0.0.1:0", "", false}, {"localhost:0", "", false}, {"127.9.9.9:0", "", false},
	} {
		cmd := command(t, t.TempDir(), "--remote-write.url=http://127.0.0.1:1/")
		for i, arg := range cmd.Args {
			if strings.HasPrefix(arg, "--admin.listen-address=") {
				cmd.Args[i] = "--admin.listen-address=" + c.address
			}
		}
		if c.web != "" {
			cmd.Args = append(cmd.Args, c.web)
		}
		out := &lockedBuffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() { _ = cmd.Wait(); close(over) }()
		listens := func() bool { return strings.Contains(out.String(), "listener=admin") }
		for deadline := time.Now().Add(30 * time.Second); !listens() && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			select {
			case <-over:
				deadline = time.Time{}
			default:
			}
		}
		if started := listens(); started == c.refused {
			t.Errorf("%s with %q: listens %v\n%s", c.address, c.web, started, out)
		}
		_ = cmd.Process.Kill()
		<-over
		if code := cmd.ProcessState.ExitCode(); c.refused && (code != 2 || !strings.Contains(out.String(), "--admin.listen-address")) {
			t.Errorf("%s with %q: exit code %d\n%s", c.address, c.web, code, out)
		}
	}
}
