package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

const secretToken = "<secret>" // Prometheus' word

// secretKeys are the keys of an upstream whose values are never shown, nor anything
// under them. Prometheus hides some by their type; headers, parameters and the like
// it shows, though they are where API keys are put.
var secretKeys = []string{
	"access_key", "bearer_token", "certificate_password", "claims", "client_certificate_key", "client_secret", "credentials",
	"endpoint_params", "external_id", "headers", "key", "password", "proxy_connect_header", "secret_key", "secrets", "values",
}

// urlKeys hold a URL: user and host are shown, the password and what stands in the query are not.
var urlKeys = []string{"audience", "proxy_url", "token_url", "url"}

// String is the configuration that is in force, defaults included, as YAML. Secrets
// are <secret>, passwords and query values in URLs xxxxx.
func (c *Config) String() string {
	b, err := yamlv2.Marshal(c)
	if err != nil {
		return fmt.Sprintf("# BUG: marshal configuration: %T\n", err) // its text may hold a value
	}
	var all yamlv2.MapSlice
	if err := yamlv2.Unmarshal(b, &all); err != nil {
		return "# BUG: read marshalled configuration\n"
	}
	for i := range all {
		if all[i].Key == "remote_write" {
			all[i].Value = mask("", all[i].Value, false)
		}
	}
	if b, err = yamlv2.Marshal(all); err != nil {
		return "# BUG: marshal masked configuration\n"
	}
	return string(b)
}

// mask hides what is secret in v, which stands at key.
func mask(key string, v any, secret bool) any {
	secret = secret || slices.Contains(secretKeys, key)
	switch v := v.(type) {
	case yamlv2.MapSlice:
		for i := range v {
			v[i].Value = mask(fmt.Sprint(v[i].Key), v[i].Value, secret)
		}
		return v
	case []any:
		for i := range v {
			v[i] = mask(key, v[i], secret)
		}
		return v
	case nil:
		return nil
	case string:
		switch {
		case v == "":
			return v
		case secret:
			return secretToken
		case slices.Contains(urlKeys, key):
			return maskURL(v)
		case key == "type" && strings.Contains(v, " "):
			return secretToken // "Basic dXNlcjpwYXNz": the credentials slipped into authorization.type
		}
		return v
	default:
		if secret {
			return secretToken
		}
		return v
	}
}

func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return secretToken
	}
	if _, ok := u.User.Password(); ok {
		u.User = url.UserPassword(u.User.Username(), "xxxxx")
	} else if u.User != nil {
		u.User = url.User("xxxxx") // alone it is a token more often than a name
	}
	if u.RawQuery != "" {
		q := u.Query()
		for _, values := range q {
			for i := range values {
				values[i] = "xxxxx"
			}
		}
		u.RawQuery = q.Encode()
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// secretsIn are the values in an item that no message may repeat.
func secretsIn(item *yaml.Node) []string {
	var found []string
	walk(item, "", func(path string, _, value *yaml.Node) {
		keys := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })
		hidden := slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(secretKeys, k) || slices.Contains(urlKeys, k) })
		if hidden && value.Kind == yaml.ScalarNode && len(value.Value) > 0 {
			found = append(found, value.Value)
		}
	})
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return found
}

// scrub is the text of an error about an upstream without anything secret.
func scrub(err error, secrets []string) string {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return badURL
	}
	text := err.Error()
	if strings.HasPrefix(text, "not a valid duration string") {
		text += "; write a number and a unit, such as 30s"
	}
	for _, s := range secrets {
		if len(s) > 2 { // shorter ones would take words apart
			text = strings.ReplaceAll(text, s, secretToken)
		}
	}
	return text
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
