package s3

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// The signatures are those that AWS publishes: in the test suite of Signature Version 4, and in the description of S3's requests.
func TestSignaturesAreThoseOfAWS(t *testing.T) {
	t.Parallel()
	suite := Keys{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	description := Keys{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	inSuite := func(more ...string) map[string]string {
		return headers(append(more, "host", "example.amazonaws.com", "x-amz-date", "20150830T123600Z")...)
	}
	inS3 := func(payload string, more ...string) map[string]string {
		return headers(append(more, "host", "examplebucket.s3.amazonaws.com", "x-amz-content-sha256", payload, "x-amz-date", "20130524T000000Z")...)
	}
	const welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
	for name, c := range map[string]struct {
		request request
		keys    Keys
		service string
		want    string
	}{
		"get-vanilla":                   {request{"GET", "/", "", inSuite(), nothing}, suite, "service", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla":                  {request{"POST", "/", "", inSuite(), nothing}, suite, "service", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"get-unreserved":                {request{"GET", escaped("/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), "", inSuite(), nothing}, suite, "service", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		"get-utf8":                      {request{"GET", escaped("/ሴ"), "", inSuite(), nothing}, suite, "service", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		"get-vanilla-query-order-key":   {request{"GET", "/", "Param1=value1&Param2=value2", inSuite(), nothing}, suite, "service", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-header-value-trim":         {request{"GET", "/", "", inSuite("my-header1", " value1", "my-header2", ` "a   b   c"`), nothing}, suite, "service", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		"S3: an object":                 {request{"GET", "/test.txt", "", inS3(nothing, "range", "bytes=0-9"), nothing}, description, "s3", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		"S3: an object that is written": {request{"PUT", escaped("/test$file.text"), "", inS3(welcome, "date", "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class", "REDUCED_REDUNDANCY"), welcome}, description, "s3", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		"S3: a bucket's life cycle":     {request{"GET", "/", "lifecycle=", inS3(nothing), nothing}, description, "s3", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		"S3: a bucket's objects":        {request{"GET", "/", "max-keys=2&prefix=J", inS3(nothing), nothing}, description, "s3", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(stamp, c.request.headers["x-amz-date"])
			if err != nil {
				t.Fatal(err)
			}
			got := c.request.authorization(c.keys, "us-east-1", c.service, at)
			if _, signature, _ := strings.Cut(got, "Signature="); signature != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential="+c.keys.ID+"/"+at.Format("20060102")+"/us-east-1/"+c.service+"/aws4_request, SignedHeaders=") {
				t.Error(got)
			}
		})
	}
}

func headers(pairs ...string) map[string]string {
	list := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		list[pairs[i]] = pairs[i+1]
	}
	return list
}

// Keys print without the secret, however they are printed.
func TestKeysArentPrinted(t *testing.T) {
	t.Parallel()
	o := Options{Keys: Keys{ID: "AKID", Secret: "hidden"}}
	for _, text := range []string{fmt.Sprint(o), fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", o), fmt.Sprint(&o.Keys)} {
		if strings.Contains(text, "hidden") {
			t.Error(text)
		}
	}
}
