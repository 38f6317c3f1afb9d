package pdfa

import (
	"encoding/binary"
	"math"
)

// sRGB returns an ICC profile (version 2.1) of the colours of IEC 61966-2-1, made of its definition: primaries adapted to D50, and its
// curve.
func sRGB() []byte {
	fixed := func(b []byte, f float64) []byte {
		return binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(f*65536))))
	}
	xyz := func(x, y, z float64) []byte { return fixed(fixed(fixed([]byte("XYZ \x00\x00\x00\x00"), x), y), z) }
	const described = "sRGB IEC61966-2.1"
	description := append([]byte("desc\x00\x00\x00\x00"), 0, 0, 0, byte(len(described)+1))
	description = append(append(description, described...), make([]byte, 1+4+4+2+1+67)...)
	const points = 1024
	curve := append([]byte("curv\x00\x00\x00\x00"), 0, 0, points>>8, points&0xff)
	for n := range points {
		v := float64(n) / (points - 1)
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		curve = binary.BigEndian.AppendUint16(curve, uint16(math.Round(v*65535)))
	}
	tags := []struct {
		names string // four letters each
		data  []byte
	}{
		{"desc", description},
		{"cprt", []byte("text\x00\x00\x00\x00No copyright, use freely\x00")},
		{"wtpt", xyz(0.9642, 1, 0.8249)},
		{"rXYZ", xyz(0.43607, 0.22249, 0.01392)},
		{"gXYZ", xyz(0.38515, 0.71687, 0.09708)},
		{"bXYZ", xyz(0.14307, 0.06061, 0.71410)},
		{"rTRCgTRCbTRC", curve},
	}
	const count = 9
	table, body := binary.BigEndian.AppendUint32(nil, count), []byte(nil)
	for _, tag := range tags {
		for at := 0; at < len(tag.names); at += 4 {
			table = append(table, tag.names[at:at+4]...)
			table = binary.BigEndian.AppendUint32(table, uint32(128+4+12*count+len(body)))
			table = binary.BigEndian.AppendUint32(table, uint32(len(tag.data)))
		}
		body = append(body, tag.data...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	header := make([]byte, 128)
	binary.BigEndian.PutUint32(header, uint32(128+len(table)+len(body)))
	copy(header[8:], "\x02\x10\x00\x00mntrRGB XYZ ")
	for n, part := range []uint16{2026, 1, 1, 0, 0, 0} { // the same for ever
		binary.BigEndian.PutUint16(header[24+2*n:], part)
	}
	copy(header[36:], "acsp")
	copy(header[68:], xyz(0.9642, 1, 0.8249)[8:])
	return append(append(header, table...), body...)
}
