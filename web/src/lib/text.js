// Text in the API's terms.

/** Characters as the API counts them: Unicode code points. */
export const codePoints = (text) => text.length - (text.match(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g)?.length ?? 0);

const E164 = /^\+[1-9][0-9]{1,14}$/;

export const phoneValid = (text) => E164.test(text);

export const PHONE_HINT = "International form: “+”, country code and number, digits only. Example: +905551234567";

/** Half of a surrogate pair is no character: JSON could carry it, UTF-8 cannot. */
export const wellFormed = (text) => !/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/.test(text);
