package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

const (
	maxUpstreamNodes = 10_000 // of one item with its aliases expanded: a guard against aliases of aliases
	placeholderURL   = "http://placeholder.invalid"
	badURL           = "not a URL (not shown, for it may hold a password; characters such as # / ? @ in a password must be percent-encoded)"
	urlNeedsHost     = "must start with http:// or https:// and name a host, such as http://mimir:9009/api/v1/push"
)

// upstreams reads the items of remote_write by Prometheus' own code, strictly.
func (p *problems) upstreams(n *yaml.Node, out *[]*promconfig.RemoteWriteConfig, path string) {
	if n.Kind != yaml.SequenceNode {
		p.unread(path, `must be a list with one item, starting with "- url:"; found %s`, kindOf(n))
		return
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		p.remember(at, item.Line)
		item = deref(item)
		if item.Kind != yaml.MappingNode {
			p.unread(at, `must be a section of keys, starting with "url:"; found %s`, kindOf(item))
			*out = append(*out, nil)
			continue
		}
		budget := maxUpstreamNodes
		plain := expand(item, &budget)
		if plain == nil {
			p.unread(at, "its aliases expand to more than %d values", maxUpstreamNodes)
			*out = append(*out, nil)
			continue
		}
		*out = append(*out, p.upstream(plain, at))
	}
}

// upstream reads one item. Prometheus' code stops at the first bad value, and does
// not say where it is; so that value is looked for, reported, taken out, and the
// rest is read again. nil if anything was wrong.
func (p *problems) upstream(item *yaml.Node, path string) *promconfig.RemoteWriteConfig {
	p.index(item, path)
	secrets := secretsIn(item)
	for clean := true; ; clean = false {
		rc, text, err := decodeUpstream(item)
		var typeErr *yamlv2.TypeError
		switch {
		case err == nil && clean:
			return rc
		case err == nil:
			return nil
		case errors.As(err, &typeErr):
			p.typeErrors(typeErr, item, text, path)
			return nil
		}
		owner, i, at := culprit(item, path, err.Error(), addURL)
		p.unread(at, "%s", scrub(err, secrets))
		if owner == nil {
			return nil
		}
		step := 1
		if owner.Kind == yaml.MappingNode {
			step = 2
		}
		owner.Content = append(owner.Content[:i:i], owner.Content[i+step:]...)
	}
}

// decodeUpstream gives the item to Prometheus' code, as text; an item without a URL
// that had a bad one gets one in its place.
func decodeUpstream(item *yaml.Node) (rc *promconfig.RemoteWriteConfig, text []byte, err error) {
	if text, err = yaml.Marshal(item); err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	}
	rc = new(promconfig.RemoteWriteConfig)
	return rc, text, yamlv2.UnmarshalStrict(text, rc)
}

// addURL makes an item of a few keys complete.
func addURL(item *yaml.Node) *yaml.Node {
	for i := 0; i < len(item.Content); i += 2 {
		if item.Content[i].Value == "url" {
			return item
		}
	}
	return &yaml.Node{Kind: yaml.MappingNode, Content: append([]*yaml.Node{
		{Kind: yaml.ScalarNode, Value: "url"},
		{Kind: yaml.ScalarNode, Value: placeholderURL},
	}, item.Content...)}
}

// culprit finds the deepest value under n that alone gives the error want. wrap
// makes a part of n a whole item. owner is nil when no single value is to blame.
func culprit(n *yaml.Node, path, want string, wrap func(*yaml.Node) *yaml.Node) (owner *yaml.Node, index int, at string) {
	step, kind := 1, yaml.SequenceNode
	if n.Kind == yaml.MappingNode {
		step, kind = 2, yaml.MappingNode
	} else if n.Kind != yaml.SequenceNode {
		return nil, 0, path
	}
	for i := 0; i+step <= len(n.Content); i += step {
		part := &yaml.Node{Kind: kind, Content: n.Content[i : i+step : i+step]}
		if _, _, err := decodeUpstream(wrap(part)); err == nil || err.Error() != want {
			continue
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		var deeper func(*yaml.Node) *yaml.Node
		child := n.Content[i+step-1]
		if kind == yaml.MappingNode {
			key := n.Content[i]
			at = join(path, key.Value)
			deeper = func(c *yaml.Node) *yaml.Node {
				return wrap(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, c}})
			}
		} else {
			deeper = func(c *yaml.Node) *yaml.Node {
				return wrap(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{c}})
			}
		}
		if o, j, a := culprit(child, at, want, deeper); o != nil {
			return o, j, a
		}
		return n, i, at
	}
	return nil, 0, path
}

var (
	unknownField = regexp.MustCompile(`^line (\d+): field (.*) not found in type `)
	twiceField   = regexp.MustCompile(`^line (\d+): (?:field|key) (.*) already set in `)
	wrongKind    = regexp.MustCompile("(?s)^line (\\d+): cannot unmarshal (!!\\w+)(?: `.*`)? into (\\S+)")
)

// typeErrors rewrites what yaml says: the key instead of Go's type, the line in the
// file instead of that in the item, and never the value.
func (p *problems) typeErrors(err *yamlv2.TypeError, item *yaml.Node, text []byte, path string) {
	where := linesOf(item, text, path)
	for _, e := range err.Errors {
		switch {
		case unknownField.MatchString(e):
			m := unknownField.FindStringSubmatch(e)
			at := where[atoi(m[1])]
			p.at(at, "unknown key%s", suggest(m[2], upstreamKeys(strings.TrimPrefix(parent(at), path))))
		case twiceField.MatchString(e):
			p.at(where[atoi(twiceField.FindStringSubmatch(e)[1])], "given twice")
		case wrongKind.MatchString(e):
			m := wrongKind.FindStringSubmatch(e)
			at := where[atoi(m[1])]
			if m[2] == "!!map" || m[2] == "!!seq" {
				at = parent(at) // yaml names the line of the first thing inside
			}
			p.at(at, "found %s, where %s belongs", yamlWord(m[2]), goWord(m[3]))
		default:
			p.at(path, "has a value that does not belong there")
		}
	}
}

func yamlWord(tag string) string {
	switch tag {
	case "!!map":
		return "a section of keys"
	case "!!seq":
		return "a list"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	default:
		return "a text"
	}
}

func goWord(t string) string {
	switch {
	case t == "bool":
		return "true or false"
	case strings.HasPrefix(t, "int"), strings.HasPrefix(t, "uint"):
		return "a whole number"
	case strings.HasPrefix(t, "[]"):
		return "a list"
	case t == "string", strings.HasSuffix(t, "Secret"):
		return "a text"
	default:
		return "a section of keys"
	}
}

// upstreamKeys are the keys that may stand at path within an item, such as ".queue_config".
func upstreamKeys(path string) []string {
	t := reflect.TypeFor[promconfig.RemoteWriteConfig]()
	for _, key := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' }) {
		if strings.HasSuffix(key, "]") {
			continue
		}
		next, ok := inlined(t)[key]
		if !ok {
			return nil
		}
		for next.Kind() == reflect.Pointer || next.Kind() == reflect.Slice {
			next = next.Elem()
		}
		if next.Kind() != reflect.Struct {
			return nil
		}
		t = next
	}
	var keys []string
	for key := range inlined(t) {
		keys = append(keys, key)
	}
	return sorted(keys)
}

// inlined are the keys of a struct with the types of their values, those of inlined structs included.
func inlined(t reflect.Type) map[string]reflect.Type {
	keys := make(map[string]reflect.Type)
	for i := range t.NumField() {
		f := t.Field(i)
		if strings.HasSuffix(f.Tag.Get("yaml"), ",inline") && f.Type.Kind() == reflect.Struct {
			for k, v := range inlined(f.Type) {
				keys[k] = v
			}
		} else if key := yamlKey(f); key != "" {
			keys[key] = f.Type
		}
	}
	return keys
}

// upstreamFor is an item of nothing but a URL.
func (p *problems) upstreamFor(rawURL string) *promconfig.RemoteWriteConfig {
	u, err := url.Parse(rawURL)
	if err != nil {
		p.at("", badURL)
		return nil
	}
	if !usableURL(u) {
		p.at("", urlNeedsHost)
		return nil
	}
	rc := promconfig.DefaultRemoteWriteConfig
	rc.URL = &commonconfig.URL{URL: u}
	return &rc
}

func usableURL(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// validateUpstream judges what Prometheus' own reading lets through.
func (p *problems) validateUpstream(rc *promconfig.RemoteWriteConfig, at string) {
	if rc.URL == nil || rc.URL.URL == nil || !usableURL(rc.URL.URL) {
		p.at(at+".url", urlNeedsHost)
	}
	for i, r := range rc.WriteRelabelConfigs {
		if err := r.Validate(model.UTF8Validation); err != nil {
			p.at(fmt.Sprintf("%s.write_relabel_configs[%d]", at, i), "%v", err)
		}
	}
	if err := rc.Validate(model.UTF8Validation); err != nil && len(p.found) == 0 {
		p.at(at, "%v", err)
	}
	if rc.RemoteTimeout <= 0 {
		p.at(at+".remote_timeout", "must be longer than 0s")
	}
	if rc.QueueConfig.MinBackoff <= 0 {
		p.at(at+".queue_config.min_backoff", "must be longer than 0s: an upstream that is away would be asked without a pause")
	}
}

func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

func atoi(s string) int {
	n, _ := strconv.Atoi(s) // matched by \d+
	return n
}
