package config

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	commonconfig "github.com/prometheus/common/config"
	promconfig "github.com/prometheus/prometheus/config"
)

// shown are the texts of an upstream that are no secrets: names of files, of
// parties and of ways. A new field of Prometheus' schema fails the test below until
// it is either put here or hidden.
var shown = []string{
	"name", "protobuf_message", "no_proxy", "username", "type", "region", "profile", "role_arn", "session_name", "service_name", "tags",
	"client_id", "tenant_id", "cloud", "scope", "scopes", "iss", "grant_type", "signature_algorithm", "client_certificate_key_id",
	"ca", "cert", "server_name", "target_label", "replacement", "separator", "regex", "action", "modulus", "source_labels",
	// files and references to a secret store
	"files", "ca_file", "cert_file", "key_file", "ca_ref", "cert_ref", "key_ref", "username_file", "username_ref", "password_file",
	"password_ref", "bearer_token_file", "credentials_file", "credentials_ref", "client_secret_file", "client_secret_ref",
	"client_certificate_key_file", "client_certificate_key_ref", "token_file_path", "certificate_path", "certificate_key_path",
}

// canaries writes a text of its own into everything under v that can hold one, and notes which is where.
func canaries(v reflect.Value, path string, put map[string]string) {
	word := func() string {
		w := fmt.Sprintf("canary%04d", len(put))
		put[w] = path
		return w
	}
	if u, ok := v.Addr().Interface().(*commonconfig.URL); ok {
		u.URL = &url.URL{Scheme: "https", User: url.UserPassword("u", word()), Host: "host", RawQuery: "api_key=" + word(), Fragment: word()}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(word())
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		canaries(v.Elem(), path, put)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			at := path
			if key := yamlKey(f); key != "" {
				at = join(path, key)
			}
			canaries(v.Field(i), at, put)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		canaries(v.Index(0), path, put)
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		canaries(e, path, put)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("some-key").Convert(v.Type().Key()), e)
	case reflect.Interface:
		v.Set(reflect.ValueOf(word()))
	}
}

func TestNoSecretOfAnUpstreamIsShown(t *testing.T) {
	// Whatever a program has set Prometheus' own switch to.
	commonconfig.MarshalSecretValue = true
	defer func() { commonconfig.MarshalSecretValue = false }()

	put := make(map[string]string)
	var rw promconfig.RemoteWriteConfig
	v := reflect.ValueOf(&rw).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch f.Name {
		case "WriteRelabelConfigs", "HTTPClientConfig": // no texts of a secret's kind; below
		default:
			canaries(v.Field(i), yamlKey(f), put)
		}
	}
	h := reflect.ValueOf(&rw.HTTPClientConfig).Elem()
	canaries(h, "", put)
	// TLS versions and the like are not texts; what they are set to must marshal.
	rw.HTTPClientConfig.TLSConfig.MinVersion = 0
	c := Default()
	c.RemoteWrite = []*promconfig.RemoteWriteConfig{&rw}
	out := c.String()
	if strings.Contains(out, "BUG") {
		t.Fatal(out)
	}
	for word, path := range put {
		last := path[strings.LastIndex(path, ".")+1:]
		if strings.Contains(out, word) && !slices.Contains(shown, last) {
			t.Errorf("%s is shown", path)
		}
	}
	if len(put) < 60 {
		t.Errorf("only %d fields were filled: the walk misses some", len(put))
	}
	if n := strings.Count(out, secretToken); n < 15 {
		t.Errorf("%d secrets in\n%s", n, out)
	}
}

// One file for each way to write a secret down, right and wrong: neither the
// configuration nor any error may repeat it.
func TestNoErrorRepeatsASecret(t *testing.T) {
	const canary = "hunter2canary"
	for _, item := range []string{
		"url: https://u:" + canary + "@host/",
		"url: https://" + canary + "@host/",
		"url: https://host/?token=" + canary,
		"url: https://u:" + canary + "#x@host/",
		"url: https://u:" + canary + "@host:port/",
		"url: 'https://u:" + canary + " @host/'",
		"url: u:" + canary + "@host",
		"url: [" + canary + "]",
		"url: *" + canary,
		"url: {a: https://u:" + canary + "@host/}",
		"basic_auth: " + canary,
		"basic_auth: {password: " + canary + "}",
		"basic_auth: {password: [" + canary + "]}",
		"basic_auth: {password: *" + canary + "}",
		"basic_auth: {password: " + canary + ", password_file: x}",
		"basic_auth: {username: u, username_file: v, password: " + canary + "}",
		"basic_auth: {passwort: " + canary + "}",
		"authorization: {credentials: " + canary + ", type: basic}",
		"authorization: {type: Basic " + canary + "}",
		"bearer_token: " + canary,
		"oauth2: {client_secret: " + canary + "}",
		"oauth2: {client_id: a, token_url: 'http://u:" + canary + "@h/', client_secret: b, endpoint_params: {x: " + canary + "}}",
		"sigv4: {access_key: " + canary + "}",
		"sigv4: {secret_key: " + canary + "}",
		"azuread: {oauth: {client_secret: " + canary + "}}",
		"azuread: {cloud: AzurePublic, oauth: {client_secret: " + canary + "}}",
		"headers: {Authorization: " + canary + "}",
		"headers: {X-Key: " + canary + "}",
		"headers: {X-Key: [" + canary + "]}",
		"headers: " + canary,
		"http_headers: {X-Key: {values: [" + canary + "], secrets: [" + canary + "]}}",
		"http_headers: {X-Key: {secrets: " + canary + "}}",
		"http_headers: {X-Key: " + canary + "}",
		"tls_config: {key: " + canary + "}",
		"proxy_url: http://u:" + canary + "@h:port/",
		"proxy_url: http://u:" + canary + "@h/",
		"proxy_connect_header: {X-Key: [" + canary + "]}",
		"proxy_connect_header: {X-Key: " + canary + "}",
		"remote_timeout: 1s\n   " + canary,
	} {
		if !strings.HasPrefix(item, "url") {
			item = "url: http://host/\n    " + item
		}
		for _, more := range []string{"", "\n    remote_timeout: never", "\n    unknown: 1"} {
			c, err := Parse([]byte("remote_write:\n  - "+item+more+"\n"), "relay.yml")
			text := fmt.Sprint(err)
			if c != nil {
				text = c.String() + strings.Join(c.Warnings(), "\n")
			}
			if strings.Contains(text, canary[:6]) {
				t.Errorf("%s%s\nshows\n%s", item, more, text)
			}
		}
	}
}

func TestWhatIsShownCanBeReadBack(t *testing.T) {
	c, err := Load("../../testdata/config/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse([]byte(c.String()), "shown")
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, c)
	}
	if again.String() != c.String() {
		t.Errorf("got\n%s\nwant\n%s", again, c)
	}
}
