package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// expand copies n with aliases replaced by what they stand for, without comments and
// in block style, so that every key of its text has a line of its own. nil when the budget of nodes is spent.
func expand(n *yaml.Node, budget *int) *yaml.Node {
	n = deref(n)
	if *budget--; *budget < 0 {
		return nil
	}
	c := &yaml.Node{Kind: n.Kind, Style: n.Style &^ yaml.FlowStyle, Tag: n.Tag, Value: n.Value, Line: n.Line}
	for _, child := range n.Content {
		child = expand(child, budget)
		if child == nil {
			return nil
		}
		c.Content = append(c.Content, child)
	}
	return c
}

// walk calls fn with every key (and its value) and every list item (nil key) under n.
func walk(n *yaml.Node, path string, fn func(path string, key, value *yaml.Node)) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := join(path, n.Content[i].Value)
			fn(at, n.Content[i], n.Content[i+1])
			walk(n.Content[i+1], at, fn)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			fn(at, nil, item)
			walk(item, at, fn)
		}
	}
}

// index remembers the line of everything under n.
func (p *problems) index(n *yaml.Node, path string) {
	walk(n, path, func(at string, key, value *yaml.Node) {
		if key != nil {
			p.remember(at, key.Line)
		} else {
			p.remember(at, value.Line)
		}
	})
}

// linesOf tells which path a line of text is, text being item written out.
func linesOf(item *yaml.Node, text []byte, path string) map[int]string {
	where := make(map[int]string)
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) == 0 {
		return where
	}
	walk(doc.Content[0], path, func(at string, key, value *yaml.Node) {
		if key != nil {
			where[key.Line] = at
		} else if value.Kind == yaml.ScalarNode {
			where[value.Line] = at
		}
	})
	return where
}
