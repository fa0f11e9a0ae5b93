//! Writes the fields of a message.

pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(version: u8) -> Self {
        Self(vec![version])
    }
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
    /// A length over 32 bits is written as the largest, which every reader refuses.
    fn length(&mut self, length: usize) {
        self.0.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend(bytes);
    }
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
    pub(super) fn list<T>(&mut self, list: &[T], each: impl Fn(&mut Self, &T)) {
        self.length(list.len());
        for item in list {
            each(self, item);
        }
    }
    pub(super) fn maybe<T: Copy>(&mut self, value: Option<T>, write: impl Fn(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}
