import { ValidateBy } from 'class-validator';

const MOMENT = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/i;

/** A moment of RFC 3339: a date and time with its offset, seconds may be left out; or a date: its first moment in UTC. */
export function IsMoment(): PropertyDecorator {
  return ValidateBy({
    name: 'isMoment',
    validator: {
      validate: (value: unknown) => {
        const [, year, month, day] = (typeof value === 'string' && MOMENT.exec(value)) || [];
        // `Date.parse` takes a 30th of February for a day of March.
        const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
        return date.getUTCDate() === Number(day) && !Number.isNaN(Date.parse(value as string));
      },
      defaultMessage: () => '$property must be a moment of RFC 3339, as 2026-01-31T12:00:00Z',
    },
  });
}
