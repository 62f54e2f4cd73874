/** The expected numbers of `fixtures/make_nn.py`. */
import fixture from "./fixtures/nn.json" with { type: "json" };

/** Numbers by the module that they test. */
export const expected = fixture;
