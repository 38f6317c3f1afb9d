package pdfa

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

// An Image is a picture that was read. It may be used by many documents at once.
type Image struct {
	width, height int
	gray          bool
	filter        string
	data          []byte
}

// MaxPixels is how many pixels an [Image] may have.
const MaxPixels = 4_000_000

// ParseImage reads a PNG or a JPEG. What is transparent becomes white, as PDF/A wants it plain. A JPEG is kept as it is; one for print
// (CMYK) is refused, as the document's colours are for a screen.
func ParseImage(data []byte) (*Image, error) {
	var config image.Config
	var err error
	isPNG := bytes.HasPrefix(data, []byte("\x89PNG"))
	if isPNG {
		config, err = png.DecodeConfig(bytes.NewReader(data))
	} else {
		config, err = jpeg.DecodeConfig(bytes.NewReader(data))
	}
	switch {
	case err != nil && !isPNG && !bytes.HasPrefix(data, []byte{0xff, 0xd8}):
		return nil, errors.New("picture: neither PNG nor JPEG")
	case err != nil:
		return nil, fmt.Errorf("picture: %w", err)
	case config.Width < 1 || config.Height < 1 || config.Width > MaxPixels/config.Height:
		return nil, fmt.Errorf("picture: it has %d × %d pixels; %d are allowed in all", config.Width, config.Height, MaxPixels)
	}
	i := &Image{width: config.Width, height: config.Height}
	if isPNG {
		return i, i.readPNG(data)
	}
	switch config.ColorModel {
	case color.GrayModel:
		i.gray = true
	case color.CMYKModel:
		return nil, errors.New("picture: a JPEG in CMYK; save it as RGB")
	}
	if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	i.filter, i.data = "DCTDecode", bytes.Clone(data)
	return i, nil
}

func (i *Image) readPNG(data []byte) error {
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	row := make([]byte, 0, 3*i.width)
	for y := from.Bounds().Min.Y; y < from.Bounds().Max.Y; y++ {
		row = row[:0]
		for x := from.Bounds().Min.X; x < from.Bounds().Max.X; x++ {
			red, green, blue, alpha := from.At(x, y).RGBA() // times alpha
			for _, c := range [...]uint32{red, green, blue} {
				row = append(row, byte((c+0xffff-alpha)>>8))
			}
		}
		_, _ = z.Write(row) // a Buffer fails never
	}
	_ = z.Close()
	i.filter, i.data = "FlateDecode", b.Bytes()
	return nil
}

// Size returns the picture's width and height in pixels.
func (i *Image) Size() (width, height int) { return i.width, i.height }

func (d *Document) writeImage(i *Image) int {
	space := name("DeviceRGB")
	if i.gray {
		space = "DeviceGray"
	}
	object := d.w.reserve()
	d.w.stream(object, i.data, nil, "Type", name("XObject"), "Subtype", name("Image"), "Width", i.width, "Height", i.height,
		"ColorSpace", space, "BitsPerComponent", 8, "Filter", name(i.filter))
	return object
}
