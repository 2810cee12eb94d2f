package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"
)

// The sections are read key by key from YAML nodes, so that one bad value hides no
// other and every problem has its line. Only the upstream is read as a whole, by
// Prometheus' own code: see upstream.go.

var unknownAnchor = regexp.MustCompile(`unknown anchor '.*' referenced`)

// document returns the one mapping in b, nil if there is none.
func (p *problems) document(b []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		p.unreadable = true
		// An unquoted secret that starts with * is an alias to YAML, and would be quoted in the error.
		text := unknownAnchor.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "unknown anchor: a value that starts with * must be quoted")
		p.onLine(0, "", "not YAML: %s", text)
		return nil
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		p.onLine(more.Line, "", "more than one YAML document: put all sections into one, without a line of ---")
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil
	}
	root := deref(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		p.unreadable = true
		p.onLine(root.Line, "", "must be a mapping of sections (remote_write, receive, journal, correct, storage), found %s", kindOf(root))
		return nil
	}
	return root
}

// config reads the whole file.
func (p *problems) config(root *yaml.Node, c *Config) {
	p.mapping(root, reflect.ValueOf(c).Elem(), "")
}

// section reads one section on its own; ptr points to its struct.
func (p *problems) section(n *yaml.Node, ptr any) {
	p.mapping(n, reflect.ValueOf(ptr).Elem(), "")
}

// value reads n into v, which holds the default.
func (p *problems) value(n *yaml.Node, v reflect.Value, path string) {
	n = deref(n)
	if isNull(n) {
		return // a key without a value: the default
	}
	switch ptr := v.Addr().Interface().(type) {
	case *[]*promconfig.RemoteWriteConfig:
		p.upstreams(n, ptr, path)
	case *[]Rule:
		p.rules(n, ptr, path)
	case **HA:
		ha := defaultHA()
		*ptr = &ha
		p.mapping(n, reflect.ValueOf(&ha).Elem(), path)
	case encoding.TextUnmarshaler:
		if !p.scalar(n, path) {
			return
		}
		err := ptr.UnmarshalText([]byte(n.Value))
		if _, ok := ptr.(*model.Duration); ok && err != nil {
			err = fmt.Errorf("%q is not a duration: write a number and one of ms, s, m, h, d, w, y, such as 5s or 1h30m", n.Value)
		}
		if err != nil {
			p.unread(path, "%v", err)
		}
	default:
		if v.Kind() == reflect.Struct {
			p.mapping(n, v, path)
			return
		}
		p.leaf(n, v, path)
	}
}

// mapping reads the keys of n into the fields of the struct v.
func (p *problems) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		p.unread(path, "must be a section with the keys %s; found %s", strings.Join(keysOf(v.Type()), ", "), kindOf(n))
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := join(path, key.Value)
		field, ok := fieldOf(v, key.Value)
		switch {
		case !ok:
			p.onLine(key.Line, at, "unknown key%s", suggest(key.Value, keysOf(v.Type())))
		case seen[key.Value] > 0:
			p.onLine(key.Line, at, "given twice, first in line %d", seen[key.Value])
		default:
			seen[key.Value] = key.Line
			p.remember(at, key.Line)
			p.value(n.Content[i+1], field, at)
		}
	}
}

func (p *problems) rules(n *yaml.Node, rules *[]Rule, path string) {
	if n.Kind != yaml.SequenceNode {
		p.unread(path, `must be a list, each item starting with "- match:"; found %s`, kindOf(n))
		return
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		p.remember(at, item.Line)
		r := defaultRule()
		p.value(item, reflect.ValueOf(&r).Elem(), at)
		*rules = append(*rules, r)
	}
}

// leaf reads a string, a number or a boolean.
func (p *problems) leaf(n *yaml.Node, v reflect.Value, path string) {
	if !p.scalar(n, path) {
		return
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		switch {
		case v.Kind() == reflect.Bool:
			p.unread(path, "%q is not true or false", n.Value)
		case v.Kind() == reflect.Int:
			p.unread(path, "%q is not a whole number", n.Value)
		default:
			p.unread(path, "%q is not a %s", n.Value, v.Kind())
		}
	}
}

func (p *problems) scalar(n *yaml.Node, path string) bool {
	if n.Kind != yaml.ScalarNode {
		p.unread(path, "must be a single value, found %s", kindOf(n))
		return false
	}
	return true
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section of keys"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fieldOf finds the field of the struct v whose YAML key it is.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := yamlKey(f); name != "" && name == key {
			return v.Field(i), true
		}
		if inline(f) {
			if field, ok := fieldOf(v.Field(i), key); ok {
				return field, true
			}
		}
	}
	return reflect.Value{}, false
}

// inline: the struct's keys stand among those of the struct that it is in.
func inline(f reflect.StructField) bool { return f.Tag.Get("yaml") == ",inline" }

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if name := yamlKey(t.Field(i)); name != "" {
			keys = append(keys, name)
		}
		if inline(t.Field(i)) {
			keys = append(keys, keysOf(t.Field(i).Type)...)
		}
	}
	return keys
}

func yamlKey(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}
