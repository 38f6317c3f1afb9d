package mail

import (
	"fmt"
	"slices"
	"strings"
	"text/template/parse"
)

// allowed returns an error that names what a template mustn't have. What is allowed ends soon, whatever the facts are: there are no loops, no calls of other
// templates, and no functions that write as much as they are told.
func allowed(node parse.Node, fields []string) error {
	switch n := node.(type) {
	case nil, *parse.TextNode, *parse.CommentNode, *parse.StringNode, *parse.BoolNode, *parse.DotNode:
		return nil
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, inner := range n.Nodes {
			if err := allowed(inner, fields); err != nil {
				return err
			}
		}
		return nil
	case *parse.ActionNode:
		return allowed(n.Pipe, fields)
	case *parse.IfNode:
		return allowedBranch(&n.BranchNode, fields)
	case *parse.WithNode:
		return allowedBranch(&n.BranchNode, fields)
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return fmt.Errorf("%s: variables aren't for texts", n)
		}
		for _, command := range n.Cmds {
			for _, argument := range command.Args {
				if err := allowed(argument, fields); err != nil {
					return err
				}
			}
		}
		return nil
	case *parse.FieldNode:
		if len(n.Ident) != 1 || !slices.Contains(fields, n.Ident[0]) {
			return fmt.Errorf("there is no field %s; there are .%s", n, strings.Join(fields, ", ."))
		}
		return nil
	case *parse.IdentifierNode:
		words := []string{"and", "or", "not", "eq", "ne"}
		if !slices.Contains(words, n.Ident) {
			return fmt.Errorf("%s isn't for texts; there are %s", n.Ident, strings.Join(words, ", "))
		}
		return nil
	}
	return fmt.Errorf("%s isn't for texts; there are fields, {{if}}, {{else}} and {{with}}", strings.TrimSpace(cut(node.String(), 50)))
}

func allowedBranch(n *parse.BranchNode, fields []string) error {
	for _, inner := range []parse.Node{n.Pipe, n.List} {
		if err := allowed(inner, fields); err != nil {
			return err
		}
	}
	return allowed(n.ElseList, fields) // nil if there is none
}
