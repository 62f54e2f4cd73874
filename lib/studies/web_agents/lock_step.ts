/**
 * Several tasks that go on side by side and ask one model: their questions are collected until every task that still runs
 * waits, and then answered as one batch. Which questions share a batch depends on the tasks alone, not on timing, so that a
 * run is repeatable.
 */

export class LockStep<Question, Answer> {
  readonly #answer: (questions: readonly Question[]) => Promise<readonly Answer[]>;
  #running = 0;
  #waiting: { questions: readonly Question[]; take: (answers: Answer[]) => void; fail: (reason: unknown) => void }[] =
    [];

  /** Nobody has joined yet. @param answer Answers a batch, one answer a question, in order. */
  constructor(answer: (questions: readonly Question[]) => Promise<readonly Answer[]>) {
    this.#answer = answer;
  }

  /** A task begins; it must leave when it ends, whatever happens. */
  join(): Disposable {
    this.#running++;
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (left) return;
        left = true;
        this.#running--;
        this.#answerIfAllWait();
      },
    };
  }

  /** Asks, as one of the tasks that have joined. Resolves when all of them ask, or have left. */
  ask(questions: readonly Question[]): Promise<Answer[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer[]>();
    this.#waiting.push({ questions, take: resolve, fail: reject });
    this.#answerIfAllWait();
    return promise;
  }

  #answerIfAllWait(): void {
    if (this.#waiting.length === 0 || this.#waiting.length < this.#running) return;
    const batch = this.#waiting;
    this.#waiting = [];
    const questions = batch.flatMap((each) => each.questions);
    // A batch that fails at once must still fail as a promise.
    Promise.resolve().then(() => this.#answer(questions)).then((answers) => {
      let from = 0;
      for (const { questions: { length }, take } of batch) take(answers.slice(from, from += length));
    }).catch((reason) => batch.forEach(({ fail }) => fail(reason)));
  }
}
