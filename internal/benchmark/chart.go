package main

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// The chart's measures, in pixels.
const (
	chartWidth  = 760
	labelWidth  = 230
	valueWidth  = 70
	barHeight   = 18
	barDistance = 26
	titleHeight = 34
)

// chart draws a bar for every contestant: a group for each source. Its colours are legible on light and on dark pages.
func (r *report) chart() []byte {
	longest, height := 0.0, 10
	for _, one := range r.Results {
		longest = max(longest, one.Rate)
		height += barDistance
	}
	height += len(r.inputs()) * titleHeight

	var svg bytes.Buffer
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="#808080" role="img">`+"\n", chartWidth, height)
	fmt.Fprintln(&svg, "<title>Jobs in a second</title>")
	y := 0
	for _, input := range r.inputs() {
		y += titleHeight
		fmt.Fprintf(&svg, `<text x="4" y="%d" font-weight="bold">Jobs in a second, %s</text>`+"\n", y-12, html.EscapeString(input))
		for _, one := range r.Results {
			if one.Input != input {
				continue
			}
			title, colour := one.Title, "#9aa5b1"
			if strings.Contains(title, "**") {
				title, colour = strings.ReplaceAll(title, "**", ""), "#2f81f7"
			}
			bar := 0.0
			if longest > 0 {
				bar = (chartWidth - labelWidth - valueWidth) * one.Rate / longest
			}
			middle := y + barHeight - 5
			fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, middle, html.EscapeString(title))
			fmt.Fprintf(&svg, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, labelWidth, y, max(bar, 1), barHeight, colour)
			fmt.Fprintf(&svg, `<text x="%.1f" y="%d">%s</text>`+"\n", labelWidth+max(bar, 1)+6, middle, thousands(one.Rate))
			y += barDistance
		}
	}
	fmt.Fprintln(&svg, "</svg>")
	return svg.Bytes()
}
