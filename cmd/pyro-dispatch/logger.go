package main

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// newLogger returns a logger that writes one line per entry to w, which is
// locked for each. Nothing is sampled: every session and failed call has its
// line, or the log could not be trusted to account for them.
func newLogger(c config.Log, w io.Writer) *zap.Logger {
	encoding := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg",
		EncodeTime:     zapcore.ISO8601TimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	encoder := zapcore.NewJSONEncoder(encoding)
	if c.Format == config.FormatConsole {
		encoding.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	level := zapcore.InfoLevel
	switch c.Level {
	case config.LevelDebug:
		level = zapcore.DebugLevel
	case config.LevelWarn:
		level = zapcore.WarnLevel
	case config.LevelError:
		level = zapcore.ErrorLevel
	}
	sink := zapcore.Lock(zapcore.AddSync(w))
	return zap.New(zapcore.NewCore(encoder, sink, level), zap.ErrorOutput(sink))
}
