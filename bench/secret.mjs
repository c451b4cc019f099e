export const SECRET = 'a-secret-of-the-benchmark-of-32-bytes-or-more';
